"""Constants of foreign graphs: taken out of their nodes, and put back where the file's version wants it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

SINCE_INITIALIZERS = 4
"""IR version since which an initializer need not be an input, whose value a caller may replace."""

NUMBERS = {
    "value_int": np.int64,
    "value_ints": np.int64,
    "value_float": np.float32,
    "value_floats": np.float32,
}


@contextmanager
def defaults_set_aside(model: ir.Model) -> Iterator[None]:
    """Within the context, an input that has a default value is an input, and no constant."""
    graph = model.graph
    tensors = {v: v.const_value for v in graph.inputs if v.const_value is not None}
    for value in tensors:
        value.const_value = None
        del graph.initializers[value.name or ""]
    try:
        yield
    finally:
        for value, tensor in tensors.items():
            value.const_value = tensor
            graph.register_initializer(value)


def lift_constants(model: ir.Model) -> None:
    """Let every Constant node of the main graph be an initializer, and every Identity of a constant that constant."""
    graph = model.graph
    for node in list(graph):
        if node.domain or len(node.outputs) != 1 or node.outputs[0].is_graph_output():
            continue
        if node.op_type == "Constant" and (tensor := _tensor(node)) is not None:
            _replace(graph, node, constant(tensor, node.outputs[0].name))
        elif node.op_type == "Identity" and _is_own_constant(graph, source := node.inputs[0]):
            assert source is not None
            _replace(graph, node, source)


def _is_own_constant(graph: ir.Graph, value: ir.Value | None) -> bool:
    return value is not None and value.const_value is not None and value.graph is graph


def constant(tensor: ir.TensorProtocol, name: str | None) -> ir.Value:
    """A value that is known."""
    return ir.Value(
        name=name,
        shape=ir.Shape(cast("ir.Shape", tensor.shape)),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )


def _tensor(node: ir.Node) -> ir.TensorProtocol | None:
    if len(node.attributes) != 1:
        return None
    ((name, attribute),) = node.attributes.items()
    if attribute.is_ref():
        return None
    if name == "value":
        return attribute.as_tensor()
    return ir.tensor(np.array(attribute.value, NUMBERS[name])) if name in NUMBERS else None


def _replace(graph: ir.Graph, node: ir.Node, value: ir.Value) -> None:
    replace_all_uses_with(node.outputs[0], value)
    graph.remove(node, safe=True)
    if value.name not in graph.initializers:
        graph.register_initializer(value)


def sink_constants(model: ir.Model) -> None:
    """Let initializers that are no inputs be Constant nodes, as before IR version 4."""
    graph = model.graph
    for name, value in reversed(list(graph.initializers.items())):
        tensor = value.const_value
        if value.is_graph_input() or tensor is None:
            continue
        node = ir.node("Constant", [], {"value": ir.tensor(tensor.numpy(), name=name)})
        first = next(iter(graph), None)
        if first is None:
            graph.append(node)
        else:
            graph.insert_before(first, node)
        new = node.outputs[0]
        del graph.initializers[name]
        replace_all_uses_with(value, new, replace_graph_outputs=True)
        new.name, new.type, new.shape = name, value.type, value.shape
