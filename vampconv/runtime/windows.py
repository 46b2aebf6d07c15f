"""What convolutions, padding and slices do to time."""

from __future__ import annotations

from dataclasses import replace

import onnx

from vampconv.runtime.attributes import attributes
from vampconv.runtime.field import NotLocalError
from vampconv.runtime.traces import Graph, Trace

ENDLESS = 1 << 31
"""A slice that ends here or later ends with its input."""


def conv(node: onnx.NodeProto, graph: Graph) -> None:
    """A window."""
    found = graph.only(node, 0)
    stride, extent, begin, end, _ = _window(node, graph, found)
    field = found.field.convolved(extent, stride, begin, end)
    graph.traces[node.output[0]] = replace(found, field=field)


def conv_transpose(node: onnx.NodeProto, graph: Graph) -> None:
    """A window the other way round."""
    found = graph.only(node, 0)
    stride, extent, begin, end, more = _window(node, graph, found)
    field = found.field.transposed(extent, stride, begin, end - more)
    graph.traces[node.output[0]] = replace(found, field=field)


def _window(node: onnx.NodeProto, graph: Graph, found: Trace) -> tuple[int, int, int, int, int]:
    """Stride, extent, padding at both ends and further outputs, along time."""
    given = attributes(node)
    rank, axis = len(graph.shape(node.input[0])) - 2, found.axis - 2
    if axis < 0 or given.get("auto_pad", b"NOTSET") != b"NOTSET" or "output_shape" in given:
        raise NotLocalError(f"{node.op_type} {node.name} is laid out in a way that is not known")
    kernel = graph.shape(node.input[1])[2 + axis]
    assert isinstance(kernel, int)
    pads = given.get("pads", [0] * 2 * rank)
    extent = (kernel - 1) * given.get("dilations", [1] * rank)[axis] + 1
    more = given.get("output_padding", [0] * rank)[axis]
    return given.get("strides", [1] * rank)[axis], extent, pads[axis], pads[rank + axis], more


def pad(node: onnx.NodeProto, graph: Graph) -> None:
    """Zeros: a known number at either end, or on the right up to a multiple."""
    if attributes(node).get("mode", b"constant") != b"constant" or any(node.input[2:]):
        raise NotLocalError(f"Pad {node.name} is laid out in a way that is not known")
    found, rank = graph.only(node, 0), len(graph.shape(node.input[0]))
    known = graph.integers(node.input[1])
    if known is not None:
        field = found.field.convolved(1, 1, known[found.axis], known[rank + found.axis])
    else:
        field = found.field.aligned(_multiple(node, graph, found.axis))
    graph.traces[node.output[0]] = replace(found, field=field)


def _multiple(node: onnx.NodeProto, graph: Graph, axis: int) -> int:
    """The m of pads that are ``[0, …, 0, −length mod m]``."""
    rank = len(graph.shape(node.input[0]))
    pads = _maker(node.input[1], "Concat", graph)
    remainder = _maker(pads.input[-1], "Mod", graph)
    negative = _maker(remainder.input[0], "Neg", graph)
    length = _maker(negative.input[0], "Shape", graph)
    zeros = [n for name in pads.input[:-1] for n in graph.integers(name) or ()]
    multiple = graph.integers(remainder.input[1])
    whole = zeros == [0] * (2 * rank - 1) and axis == rank - 1 and length.output[0] in graph.lengths
    if not whole or length.input[0] != node.input[0] or multiple is None:
        raise NotLocalError(f"how much Pad {node.name} pads is not known")
    return multiple[0]


def _maker(name: str, kind: str, graph: Graph) -> onnx.NodeProto:
    node = graph.makers.get(name)
    if node is None or node.op_type != kind:
        raise NotLocalError(f"{name} is not made by {kind}")
    return node


def slice_(node: onnx.NodeProto, graph: Graph) -> None:
    """Ends cut off, if it is along time."""
    found, rank = graph.only(node, 0), len(graph.shape(node.input[0]))
    bounds = [graph.integers(name) for name in node.input[1:] if name]
    field = found.field
    axes = bounds[2] if len(bounds) > 2 else list(range(len(bounds[0] or ())))
    if axes is None:
        raise NotLocalError(f"the axes of Slice {node.name} are not known")
    if found.axis in [a % rank for a in axes]:
        if any(b is None for b in bounds):
            raise NotLocalError(f"the bounds of Slice {node.name} are not known")
        here = [a % rank for a in axes].index(found.axis)
        start, end, _, step = [(b or [])[here] for b in (*bounds[:2], axes, *(bounds[3:] or [[1] * rank]))]
        if step != 1 or start < 0 or 0 <= end < ENDLESS - 1:
            raise NotLocalError(f"Slice {node.name} depends on the length")
        field = field.convolved(1, 1, -start, min(end, 0))
    graph.traces[node.output[0]] = replace(found, field=field)


WINDOWS = {"Conv": conv, "ConvTranspose": conv_transpose, "Pad": pad, "Slice": slice_}
