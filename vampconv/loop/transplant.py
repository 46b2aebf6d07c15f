"""Copies of a model's nodes, for a graph inside another that holds the weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import onnx_ir as ir

from vampconv.loop.body import LoopBuilder


class Transplant:
    """A model that is called within another graph, once.

    Parameters
    ----------
    source
        The model's graph, which stays as it is.
    prefix
        What its names begin with here, where there are several models.

    """

    def __init__(self, source: ir.Graph, prefix: str = "") -> None:
        self.source, self.prefix = source, prefix
        self.values: dict[ir.Value, ir.Value] = {v: _copy(v, prefix) for v in source.initializers.values()}

    @property
    def initializers(self) -> list[ir.Value]:
        """Its constants, for the outermost graph; large ones refer to the model's data file."""
        return [self.values[v] for v in self.source.initializers.values()]

    def input(self, value: ir.Value) -> ir.Value:
        """An input of the outermost graph that is passed on to the model."""
        self.values[value] = _copy(value, self.prefix)
        return self.values[value]

    def call(self, op: LoopBuilder, inputs: Mapping[str, ir.Value]) -> Any:
        """Add its nodes to the graph that `op` builds; return its output."""
        values = dict(self.values)
        for value in self.source.inputs:
            if (name := value.name or "") in inputs:
                values[value] = inputs[name]
        for node in self.source:
            op.nodes.append(_copy_node(node, values, self.prefix))
        return values[self.source.outputs[0]]


def _copy_node(node: ir.Node, values: dict[ir.Value, ir.Value], prefix: str) -> ir.Node:
    outputs = [_copy(v, prefix) for v in node.outputs]
    values.update(zip(node.outputs, outputs, strict=True))
    return ir.Node(
        node.domain,
        node.op_type,
        _resolved(node.inputs, values),
        node.attributes.values(),
        outputs=outputs,
        name=prefix + (node.name or ""),
        metadata_props=dict(node.metadata_props),
    )


def _resolved(inputs: Iterable[ir.Value | None], values: dict[ir.Value, ir.Value]) -> list[ir.Value | None]:
    return [None if v is None else values[v] for v in inputs]


def _copy(value: ir.Value, prefix: str) -> ir.Value:
    name = prefix + (value.name or "")
    return ir.Value(name=name, type=value.type, shape=value.shape, const_value=value.const_value)
