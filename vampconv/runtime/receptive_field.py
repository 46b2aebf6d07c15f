"""The receptive field of a model, computed from its graph along the time axis."""

from __future__ import annotations

from pathlib import Path

import onnx

from vampconv.runtime.field import NotLocalError, ReceptiveField
from vampconv.runtime.operators import OPERATORS
from vampconv.runtime.traces import Graph, Trace


def receptive_field(path: Path) -> ReceptiveField:
    """What each position of a model's output sees of its input, time being the last axis of both.

    The model has one input and one output; its weights are not read.

    Parameters
    ----------
    path
        An ONNX file.

    Raises
    ------
    NotLocalError
        If an output sees inputs at any distance, or a node is of a kind that is not known here.

    """
    return field_of(onnx.load(path, load_external_data=False))


def field_of(model: onnx.ModelProto) -> ReceptiveField:
    """The receptive field of a model in memory."""
    graph = Graph(model)
    source, sink = model.graph.input[0].name, model.graph.output[0].name
    graph.traces[source] = Trace(len(graph.shape(source)) - 1, ReceptiveField())
    for node in graph.nodes:
        follows = [name for name in node.input if name in graph.traces or name in graph.lengths]
        if not follows:
            continue
        read = OPERATORS.get(node.op_type) if node.domain in ("", "ai.onnx") else None
        if read is None:
            raise NotLocalError(
                f"what {node.domain} {node.op_type} does in time is not known".replace("  ", " ")
            )
        read(node, graph)
    if sink not in graph.traces or graph.traces[sink].axis != len(graph.shape(sink)) - 1:
        raise NotLocalError(f"the last axis of {sink} is not time")
    return graph.traces[sink].field
