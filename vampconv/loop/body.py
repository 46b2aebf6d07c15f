"""Graphs within graphs: builders whose constants all lie in the outermost graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import NodeBuilder, Ops
from vampconv.dialect.op import Array

MODULE = "loop"
"""The module path of nodes that are not of the transformer."""


def port(name: str, dtype: ir.DataType, shape: Sequence[int | str | None]) -> ir.Value:
    """A typed input or output."""
    return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))


class LoopBuilder(NodeBuilder):
    """Makes the nodes of a graph or of one inside it; `constants` are those of the outermost."""

    def __init__(self, outer: LoopBuilder | None = None) -> None:
        super().__init__(MODULE)
        self.known: dict[tuple[object, ...], ir.Value] = {}
        if outer is not None:
            self.constants, self.known = outer.constants, outer.known

    def constant(self, value: float | Sequence[int] | Array, name: str | None = None) -> ir.Value:
        """A constant of the outermost graph; equal ones are one."""
        array = np.asarray(value)
        key = array.dtype, array.shape, array.tobytes(), isinstance(value, float)
        if key not in self.known:
            self.known[key] = super().constant(value, name)
        return self.known[key]

    def subgraph(self, inputs: Sequence[ir.Value], build: Callable[[LoopBuilder], Sequence[ir.Value]]) -> Any:
        """A graph for an attribute; `build` makes its nodes, which may use values from outside."""
        inner = LoopBuilder(self)
        outputs = build(inner)
        return ir.Graph(inputs, outputs, nodes=inner.nodes, name="body")

    def choose(
        self, condition: ir.Value, yes: Callable[[LoopBuilder], Any], no: Callable[[LoopBuilder], Any]
    ) -> Any:
        """The value of one of two branches."""
        branches = [
            self.subgraph([], lambda inner, branch=branch: [inner.Identity(branch(inner))])  # type: ignore[misc]
            for branch in (yes, no)
        ]
        return self.If(condition, then_branch=branches[0], else_branch=branches[1])


def dimension(op: Ops, value: ir.Value, axis: int) -> Any:
    """One dimension, int64 [1]."""
    return op.Shape(value, start=axis, end=axis + 1)
