"""What is known of the values of a graph while it is read along time."""

from __future__ import annotations

from dataclasses import dataclass, replace

import onnx

from vampconv.runtime.field import NotLocalError, ReceptiveField
from vampconv.runtime.sizes import of_one_row

Dims = list[int | str | None]


@dataclass(frozen=True)
class Trace:
    """Where time is in a value, and what each of its positions sees of the input."""

    axis: int
    field: ReceptiveField


class Graph:
    """A graph under reading: what is known of each of its values.

    Attributes
    ----------
    traces
        Values that follow the input in time. All others are the same at any length, but for `lengths`.
    lengths
        Values that depend on how long another one is, and the name of that one.

    """

    def __init__(self, model: onnx.ModelProto) -> None:
        graph, self.constants = of_one_row(model)
        self.nodes = list(graph.node)
        self.makers = {output: node for node in self.nodes for output in node.output}
        self.dims: dict[str, Dims] = {t.name: list(t.dims) for t in graph.initializer}
        for port in (*graph.value_info, *graph.input, *graph.output):
            tensor = port.type.tensor_type
            if tensor.HasField("shape"):
                self.dims[port.name] = [_dim(d) for d in tensor.shape.dim]
        self.traces: dict[str, Trace] = {}
        self.lengths: dict[str, str] = {}

    def shape(self, name: str) -> Dims:
        """Its dimensions: a number, a name, or None.

        Raises
        ------
        NotLocalError
            If not even their number is known.

        """
        if name not in self.dims:
            raise NotLocalError(f"the rank of {name} is unknown")
        return self.dims[name]

    def integers(self, name: str) -> list[int] | None:
        """A constant's elements; None for what is no constant, or a large one."""
        return [int(n) for n in self.constants[name].reshape(-1)] if name in self.constants else None

    def only(self, node: onnx.NodeProto, position: int) -> Trace:
        """The trace of one input; no other may have one."""
        traced = [i for i, name in enumerate(node.input) if name in self.traces]
        if traced != [position]:
            raise NotLocalError(f"{node.op_type} {node.name} combines several moments")
        return self.traces[node.input[position]]

    def joined(self, node: onnx.NodeProto) -> Trace:
        """The trace of inputs that are combined position by position, by the broadcasting rule."""
        rank = len(self.shape(node.output[0]))
        found: Trace | None = None
        for name in node.input:
            if name in self.traces:
                trace = self.traces[name]
                here = Trace(trace.axis + rank - len(self.shape(name)), trace.field)
                if found is not None and found.axis != here.axis:
                    raise NotLocalError(f"{node.op_type} {node.name} mixes time with another axis")
                found = here if found is None else replace(found, field=found.field.joined(here.field))
        assert found is not None
        return found


def _dim(dim: onnx.TensorShapeProto.Dimension) -> int | str | None:
    if dim.HasField("dim_value"):
        return int(dim.dim_value)
    return dim.dim_param or None
