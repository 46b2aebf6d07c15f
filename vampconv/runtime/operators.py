"""What the standard operators do to time: one function for each way, and the operators that go it.

A function is called for a node that has an input which follows time, or tells a length.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import takewhile
from math import prod

import onnx

from vampconv.runtime.attributes import attributes
from vampconv.runtime.field import NotLocalError
from vampconv.runtime.traces import Dims, Graph, Trace
from vampconv.runtime.windows import WINDOWS


def each_by_itself(node: onnx.NodeProto, graph: Graph) -> None:
    """Position by position; of lengths, some arithmetic."""
    lengths = [name for name in node.input if name in graph.lengths]
    if not lengths:
        graph.traces[node.output[0]] = graph.joined(node)
    elif any(name in graph.traces for name in node.input):
        raise NotLocalError(f"{node.op_type} {node.name} depends on the length")
    else:
        graph.lengths[node.output[0]] = graph.lengths[lengths[0]]


def shape(node: onnx.NodeProto, graph: Graph) -> None:
    """Sizes of other axes are the same at any length."""
    found, given = graph.only(node, 0), attributes(node)
    rank = len(graph.shape(node.input[0]))
    start, end, _ = slice(given.get("start", 0), given.get("end")).indices(rank)
    if start <= found.axis < end:
        graph.lengths[node.output[0]] = node.input[0]


def matmul(node: onnx.NodeProto, graph: Graph) -> None:
    """Products over another axis than time."""
    found = graph.joined(node)
    position = next(i for i, name in enumerate(node.input) if name in graph.traces)
    rank = len(graph.shape(node.output[0]))
    graph.only(node, position)
    if rank < 2 or len(graph.shape(node.input[position])) != rank or found.axis == rank - 1 - position:
        raise NotLocalError(f"MatMul {node.name} sums over time")
    graph.traces[node.output[0]] = found


def reduce(node: onnx.NodeProto, graph: Graph) -> None:
    """Over other axes than time."""
    found, given = graph.only(node, 0), attributes(node)
    rank = len(graph.shape(node.input[0]))
    axes = graph.integers(node.input[1]) if len(node.input) > 1 else given.get("axes")
    if node.op_type.startswith("Arg"):
        axes = [given.get("axis", 0)]
    axes = [a % rank for a in axes or range(rank)]
    if found.axis in axes:
        raise NotLocalError(f"{node.op_type} {node.name} is over time")
    before = 0 if given.get("keepdims", 1) else sum(a < found.axis for a in axes)
    graph.traces[node.output[0]] = replace(found, axis=found.axis - before)


def normalise(node: onnx.NodeProto, graph: Graph) -> None:
    """Over other axes than time."""
    found, rank = graph.only(node, 0), len(graph.shape(node.input[0]))
    axis = attributes(node).get("axis", -1) % rank
    to_the_end = node.op_type in ("LayerNormalization", "RMSNormalization")
    if axis == found.axis or (to_the_end and axis < found.axis):
        raise NotLocalError(f"{node.op_type} {node.name} is over time")
    graph.traces[node.output[0]] = found


def concat(node: onnx.NodeProto, graph: Graph) -> None:
    """Along another axis than time; of lengths, a list that tells one."""
    lengths = [graph.lengths[name] for name in node.input if name in graph.lengths]
    if lengths:
        graph.lengths[node.output[0]] = lengths[0]
        return
    found = graph.joined(node)
    if attributes(node)["axis"] % len(graph.shape(node.output[0])) == found.axis:
        raise NotLocalError(f"Concat {node.name} is along time")
    graph.traces[node.output[0]] = found


def split(node: onnx.NodeProto, graph: Graph) -> None:
    """Along another axis than time."""
    found = graph.only(node, 0)
    if attributes(node).get("axis", 0) % len(graph.shape(node.input[0])) == found.axis:
        raise NotLocalError(f"Split {node.name} is along time")
    graph.traces.update(dict.fromkeys(node.output, found))


def gather(node: onnx.NodeProto, graph: Graph) -> None:
    """Rows of a table for every moment, or a choice along another axis than time."""
    axis = attributes(node).get("axis", 0) % len(graph.shape(node.input[0]))
    if node.input[0] in graph.lengths:
        graph.lengths[node.output[0]] = graph.lengths[node.input[0]]
        return
    if node.input[1] in graph.traces:
        found = graph.only(node, 1)
        graph.traces[node.output[0]] = replace(found, axis=found.axis + axis)
        return
    found = graph.only(node, 0)
    if axis == found.axis or node.input[1] in graph.lengths:
        raise NotLocalError(f"Gather {node.name} is along time")
    more = len(graph.shape(node.input[1])) - 1 if axis < found.axis else 0
    graph.traces[node.output[0]] = replace(found, axis=found.axis + more)


def transpose(node: onnx.NodeProto, graph: Graph) -> None:
    """Axes in another order."""
    found, rank = graph.only(node, 0), len(graph.shape(node.input[0]))
    order = list(attributes(node).get("perm", range(rank)[::-1]))
    graph.traces[node.output[0]] = replace(found, axis=order.index(found.axis))


def reshape(node: onnx.NodeProto, graph: Graph) -> None:
    """The same elements in the same order; those of a known number after time may come to lie in time."""
    if node.input[0] in graph.lengths:
        graph.lengths[node.output[0]] = graph.lengths[node.input[0]]
        return
    found = graph.only(node, 0)
    before, after = graph.shape(node.input[0]), graph.shape(node.output[0])
    equal = takewhile(
        lambda pair: None is not pair[0] == pair[1], zip(before[: found.axis], after, strict=False)
    )
    skipped = len(list(equal))
    places = [i for i, dim in enumerate(after) if i >= skipped and not isinstance(dim, int)]
    if len(places) == 1:
        earlier = _size(before[skipped : found.axis]), _size(after[skipped : places[0]])
        later = _size(before[found.axis + 1 :]), _size(after[places[0] + 1 :])
        if earlier[0] == earlier[1] is not None and later[0] and later[1] and later[0] % later[1] == 0:
            factor = later[0] // later[1]
            field = found.field.transposed(factor, factor, 0, 0) if factor > 1 else found.field
            graph.traces[node.output[0]] = Trace(places[0], field)
            return
    raise NotLocalError(f"where time is after {node.op_type} {node.name} is not known")


def _size(dims: Dims) -> int | None:
    """Elements along some axes, if all their sizes are known."""
    known = [d for d in dims if isinstance(d, int)]
    return prod(known) if len(known) == len(dims) else None


EACH = (
    "Abs Add And BatchNormalization Cast Ceil Clip Cos Div Dropout Elu Equal Erf Exp Floor Gelu "
    "Greater GreaterOrEqual HardSigmoid Identity LeakyRelu Less LessOrEqual Log Max Min Mod Mul Neg "
    "Not Or PRelu Pow Reciprocal Relu Round Selu Sigmoid Sign Sin Softplus Softsign Sqrt Sub Tanh "
    "Where Xor "
)
REDUCTIONS = (
    "ArgMax ArgMin ReduceL1 ReduceL2 ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare"
)
NORMALISATIONS = "Softmax LogSoftmax LpNormalization LayerNormalization RMSNormalization"
LAYOUTS = "Reshape Squeeze Unsqueeze Flatten"
OPERATORS: dict[str, Callable[[onnx.NodeProto, Graph], None]] = {
    **dict.fromkeys(EACH.split(), each_by_itself),
    **dict.fromkeys(REDUCTIONS.split(), reduce),
    **dict.fromkeys(NORMALISATIONS.split(), normalise),
    **dict.fromkeys(LAYOUTS.split(), reshape),
    **WINDOWS,
    "Concat": concat,
    "Gather": gather,
    "MatMul": matmul,
    "Shape": shape,
    "Split": split,
    "Transpose": transpose,
}
