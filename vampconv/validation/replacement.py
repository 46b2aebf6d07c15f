"""Runs a replacement as it will run: its constants folded, the rest in ONNX Runtime where it is standard ONNX."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.passes.fold import fold_constants
from vampconv.rewrite.execute import Runner, load
from vampconv.validation.subgraph import own_outputs


class Replacement:
    """A replacement, loaded once for all inputs.

    Parameters
    ----------
    model, names
        As `subgraph.cut` gives them.
    feeds, truths
        Of one run: they tell the types and ranks that the graph does not.

    """

    def __init__(
        self,
        model: ir.Model,
        names: Mapping[ir.Value, str],
        feeds: Mapping[ir.Value, Array],
        truths: Sequence[Array],
    ) -> None:
        graph = model.graph
        inputs = {v.name: v for v in graph.inputs}
        self.names = {v: name for v, name in names.items() if name in inputs}
        for value, name in self.names.items():
            array, port = feeds[value], inputs[name]
            port.type = port.type or ir.TensorType(ir.DataType.from_numpy(array.dtype))
            port.shape = port.shape or ir.Shape([None] * array.ndim)
        for port, truth in zip(graph.outputs, truths, strict=True):
            port.type = port.type or ir.TensorType(_narrow(truth))
            port.shape = ir.Shape([None] * truth.ndim)
        fold_constants(model)
        self._constants = [v.const_value for v in graph.outputs]
        self._run: Runner | None = None
        if any(c is None for c in self._constants):
            own_outputs(graph)
            self._run = load(model)

    def __call__(self, feeds: Mapping[ir.Value, Array]) -> list[Array]:
        """The outputs; `feeds` must give what the replacement reads of the graph, and may give more."""
        if self._run is None:
            return [np.asarray(c.numpy()) for c in self._constants if c is not None]
        return self._run({name: feeds[v] for v, name in self.names.items()})


def _narrow(truth: Array) -> ir.DataType:
    return ir.DataType.FLOAT if truth.dtype.kind == "f" else ir.DataType.from_numpy(truth.dtype)
