"""Foreign graphs on their way: no-ops dropped, equal computations shared, names kept apart."""

from __future__ import annotations

from collections.abc import Set

import onnx
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from vampconv.dialect.builder import MODULE
from vampconv.dialect.op import DOMAIN
from vampconv.passes.inner import forget, inner_graphs, names_inside
from vampconv.rewrite.trace import RULES

WITH_METADATA = 10
"""IR version since which nodes carry metadata."""

RANDOM = frozenset(
    {
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
        "Multinomial",
        "Bernoulli",
        "Dropout",
    }
)


def drop_casts(model: ir.Model) -> None:
    """Remove casts to the type that a value has."""
    for node in list(model.graph):
        if node.domain or node.op_type != "Cast" or node.outputs[0].is_graph_output():
            continue
        source = node.inputs[0]
        if source is not None and source.dtype is not None and source.dtype == node.attributes["to"].value:
            replace_all_uses_with(node.outputs[0], source)
            model.graph.remove(node, safe=True)


def share(model: ir.Model) -> None:
    """Let equal standard operations on equal values be one; random ones and those with subgraphs are left."""
    first: dict[tuple[object, ...], ir.Node] = {}
    for node in list(model.graph):
        if node.domain or node.op_type in RANDOM or any(v.is_graph_output() for v in node.outputs):
            continue
        attributes = []
        for name, attribute in sorted(node.attributes.items()):
            if not isinstance(attribute.value, int | float | str | tuple) or attribute.is_ref():
                break
            attributes.append((name, attribute.type, repr(attribute.value)))
        else:
            key = (node.op_type, tuple(node.inputs), tuple(attributes), len(node.outputs))
            kept = first.setdefault(key, node)
            if kept is not node:
                for old, new in zip(node.outputs, kept.outputs, strict=True):
                    replace_all_uses_with(old, new)
                model.graph.remove(node, safe=True)


def drop_unused(model: ir.Model) -> None:
    """Remove standard operations and constants that nothing uses; operations that are not known may do something."""
    graph = model.graph
    for node in reversed(list(graph)):
        is_known = node.domain == DOMAIN or (not node.domain and onnx.defs.has(node.op_type))
        if is_known and not any(v.uses() or v.is_graph_output() for v in node.outputs):
            forget(node)
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not (value.uses() or value.is_graph_input() or value.is_graph_output()):
            del graph.initializers[name]


def separate_names(graph: ir.Graph, outer: Set[str | None] = frozenset()) -> None:
    """Give a name to each value that has none, or one that a graph inside or around its own has, too."""
    taken = {*outer, *names_inside(graph), *(v.name for v in (*graph.inputs, *graph.outputs))}
    for value in list(graph.initializers.values()):
        if value.is_graph_input() or value.is_graph_output():
            continue
        del graph.initializers[value.name or ""]
        value.name = _free(value.name or "constant", taken)
        if value.const_value is not None:
            value.const_value.name = value.name
        graph.register_initializer(value)
    for node in graph:
        for value in node.outputs:
            if not value.is_graph_output() and value.name != "":
                value.name = _free(value.name or f"{node.op_type}_output", taken)
    around = {*outer, *graph.initializers, *(v.name for v in graph.inputs)}
    around |= {v.name for node in graph for v in node.outputs}
    for body in inner_graphs(graph):
        separate_names(body, around)


def drop_notes(model: ir.Model) -> None:
    """Drop our own notes on the nodes, those of rules only where the file's version has no place for them."""
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        node.metadata_props.pop(MODULE, None)
        if model.ir_version is not None and model.ir_version < WITH_METADATA:
            node.metadata_props.pop(RULES, None)


def _free(name: str, taken: set[str | None]) -> str:
    number, free = 0, name
    while free in taken:
        number += 1
        free = f"{name}.{number}"
    taken.add(free)
    return free
