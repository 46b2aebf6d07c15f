"""Names that say where a thing comes from: nodes by module and op, weights by their checkpoint tensors."""

from __future__ import annotations

import onnx_ir as ir

from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of
from vampconv.rewrite.trace import path_of


def name_everything(model: ir.Model) -> None:
    """Name every node, value and initializer; inputs and outputs keep their names."""
    graph = model.graph
    taken = {v.name for v in (*graph.inputs, *graph.outputs)}
    for node in graph:
        node.name = _free(path_of(node), taken)
        for index, value in enumerate(node.outputs):
            if not value.is_graph_output():
                value.name = _free(f"{node.name}_output_{index}", taken)
    graph.initializers.clear()
    for value in _order_of_use(graph):
        if not value.is_graph_output():
            value.name = _free(_weight_name(value), taken)
        if value.const_value is not None:
            value.const_value.name = value.name
        graph.register_initializer(value)


def _order_of_use(graph: ir.Graph) -> list[ir.Value]:
    """The initializers in the order in which the nodes use them, then those that are only outputs."""
    used = (v for values in (*(n.inputs for n in graph), graph.outputs) for v in values)
    return list(dict.fromkeys(v for v in used if v is not None and v.const_value is not None))


def _weight_name(value: ir.Value) -> str:
    """The name of the first checkpoint tensor in it, ``weight`` for the pair of weight normalisation."""
    expression = expression_of(value)
    for leaf in leaves(expression):
        if isinstance(leaf.tensor, ir.LazyTensor):
            name = leaf.tensor.name or leaf.name
            return name[:-2] if name.endswith((".weight_g", ".weight_v")) else name
    user = next(iter(value.uses()))
    return f"{user.node.name}_input_{user.idx}"


def _free(name: str, taken: set[str | None]) -> str:
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    taken.add(free)
    return free
