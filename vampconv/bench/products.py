"""The nodes of a graph that multiply matrices or convolve, and what of them is constant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import helper

MICROSOFT = "com.microsoft"
STANDARD = {
    "Conv",
    "ConvInteger",
    "ConvTranspose",
    "Gemm",
    "MatMul",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
}
CONTRIBUTED = {
    "DynamicQuantizeMatMul",
    "FusedConv",
    "FusedGemm",
    "FusedMatMul",
    "MatMulIntegerToFloat",
    "MatMulNBits",
    "QGemm",
}
ATTENTIONS = {("", "Attention"), (MICROSOFT, "MultiHeadAttention")}
"""Ops of which the two products, of queries and keys and of weights and values, are a part."""
HEADS = ("num_heads", "q_num_heads", "kv_num_heads")

Shape = tuple[int, ...]


def is_product(node: onnx.NodeProto) -> bool:
    """Whether a node is a product, or has some inside."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    names = {"": STANDARD, MICROSOFT: CONTRIBUTED}.get(domain, set())
    return node.op_type in names or (domain, node.op_type) in ATTENTIONS


def products(graph: onnx.GraphProto) -> list[onnx.NodeProto]:
    """The products of a graph, in order."""
    return [node for node in graph.node if is_product(node)]


def operands(node: onnx.NodeProto) -> list[str]:
    """The inputs of a product whose shapes decide its work: of an attention queries, keys and values."""
    if "Attention" in node.op_type:
        return list(node.input[:3])
    return [name for name in node.input if name]


def attention_shapes(node: onnx.NodeProto, shapes: Mapping[str, Shape]) -> list[tuple[Shape, Shape]]:
    """The operands' shapes of the two products in an attention, given those of its inputs.

    Queries, keys and values are [batch, time, heads·dim] or [batch, heads, time, dim].
    """
    heads = {a.name: a.i for a in node.attribute if a.name in HEADS}
    of_queries = heads.get("q_num_heads", heads.get("num_heads", 1))
    counts = (of_queries, *[heads.get("kv_num_heads", of_queries)] * 2)
    query, key, value = (
        _by_head(shapes[name], count) for name, count in zip(node.input[:3], counts, strict=True)
    )
    batch, _, time, dim = query
    steps, width = value[2:]
    return [
        ((batch, of_queries, time, dim), (batch, of_queries, dim, key[2])),
        ((batch, of_queries, time, steps), (batch, of_queries, steps, width)),
    ]


def _by_head(shape: Shape, heads: int) -> Shape:
    if len(shape) == 4:
        return shape
    batch, time, width = shape
    return batch, heads, time, width // heads


def constants(graph: onnx.GraphProto) -> dict[str, onnx.NodeProto | None]:
    """Values that do not depend on the inputs: initializers, and what nodes compute from constants alone."""
    found: dict[str, onnx.NodeProto | None] = dict.fromkeys(i.name for i in graph.initializer)
    for node in graph.node:
        inner = any(a.type in (a.GRAPH, a.GRAPHS) for a in node.attribute)
        if not inner and all(name in found for name in node.input if name):
            found.update(dict.fromkeys(node.output, node))
    return found


def makers(names: Iterable[str], known: Mapping[str, onnx.NodeProto | None]) -> Iterator[onnx.NodeProto]:
    """The nodes that compute these constants, each after those that it needs; some come more than once."""
    for name in names:
        node = known.get(name)
        if node is not None:
            yield from makers(node.input, known)
            yield node


def tapped(model: onnx.ModelProto, names: Sequence[str]) -> onnx.ModelProto:
    """A graph that puts out the shape of each value, and its first element."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.output[:]
    for constant, number in (("flat", -1), ("first", 0), ("second", 1)):
        graph.initializer.append(helper.make_tensor(f"tap.{constant}", onnx.TensorProto.INT64, [1], [number]))
    for i, name in enumerate(names):
        graph.node.append(helper.make_node("Shape", [name], [f"tap.shape.{i}"]))
        graph.node.append(helper.make_node("Reshape", [name, "tap.flat"], [f"tap.flat.{i}"]))
        picked = [f"tap.flat.{i}", "tap.first", "tap.second"]
        graph.node.append(helper.make_node("Slice", picked, [f"tap.value.{i}"]))
        graph.output.extend(onnx.ValueInfoProto(name=f"tap.{what}.{i}") for what in ("shape", "value"))
    return copy


def random_like(shape: Shape, kind: np.dtype[Any], random: np.random.Generator) -> NDArray[Any]:
    """Numbers of a shape and of a type, none of them denormal."""
    if kind.kind in "iu":
        most = min(np.iinfo(kind).max, 127)
        return random.integers(0, most, shape, endpoint=True).astype(kind)
    if kind.kind == "b":
        return random.integers(0, 2, shape).astype(kind)
    return np.asarray(random.standard_normal(shape, np.float32).astype(kind))
