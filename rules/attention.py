"""Attention: as one operator from opset 23, as products and a softmax before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=2e-5)


def samples(draw: Draw, *, bias: bool) -> Iterator[Sample]:
    """One head and several, and scores large enough that the softmax must not overflow."""
    for heads, dim, scale in ((1, 4, 1.0), (3, 6, 1.0), (2, 16, 1e-3), (2, 8, 30.0)):
        query = draw("batch", "time", dim, scale=scale)
        key, value = draw("batch", "time", dim), draw("batch", "time", dim)
        arguments: dict[str, Any] = {"q": query, "k": key, "v": value, "heads": heads}
        if bias:
            arguments["bias"] = draw(1, heads, "time", "time")
        yield Sample(**arguments)


def width_is_known(m: Match) -> Iterator[Guard]:
    """The scale and the heads are computed from the width of q."""
    yield m.size("q", -1) > 0, "the width of q is unknown"


def unknown_width(draw: Draw, *, bias: bool) -> Refused:
    """A sample whose q has an unknown rank."""
    arguments = {**next(samples(draw, bias=bias)).arguments, "q": draw.unranked("batch", "time", 4)}
    return Refused("width of q", opset=23, **arguments)


class StandardAttention(Rule):
    """``Attention`` is ONNX Attention on 3-D inputs, the bias as its mask."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, bias: V, heads: V) -> V:
        return vamp(op).Attention(q, k, v, bias, heads=heads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.opset >= 23, "Attention needs opset 23"
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, bias: V, heads: int, m: Match) -> V:
        scale = 1 / math.sqrt(m.size("q", -1) // heads)
        return op.Attention(q, k, v, bias, q_num_heads=heads, kv_num_heads=heads, scale=scale)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw, bias=True):
            yield Sample(opset=23, **sample.arguments)
        yield Refused("opset 23", opset=22, **next(samples(draw, bias=True)).arguments)
        yield unknown_width(draw, bias=True)


class ClassicAttention(Rule):
    """``Attention`` is ``softmax(q·kᵀ / sqrt(d) + bias) · v``, head by head."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, bias: V, heads: V) -> V:
        return vamp(op).Attention(q, k, v, bias, heads=heads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, bias: V, heads: int, m: Match) -> V:
        return _attend(op, q, k, v, bias, heads, m)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw, bias=True)
        yield unknown_width(draw, bias=True)


class UnbiasedAttention(Rule):
    """``Attention`` without a bias (checkpoints of ``flash_attn``) is ``softmax(q·kᵀ / sqrt(d)) · v``."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, heads: V) -> V:
        return vamp(op).Attention(q, k, v, heads=heads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, heads: int, m: Match) -> V:
        return _attend(op, q, k, v, None, heads, m)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw, bias=False)
        yield unknown_width(draw, bias=False)


def _attend(op: Ops, q: V, k: V, v: V, bias: V | None, heads: int, m: Match) -> V:
    dim = m.size("q", -1)
    width = dim // heads

    def by_head(x: V, perm: list[int]) -> V:
        return op.Transpose(op.Reshape(x, [0, 0, heads, width]), perm=perm)

    query = by_head(op.Mul(q, 1 / math.sqrt(width)), [0, 2, 1, 3])
    scores = op.MatMul(query, by_head(k, [0, 2, 3, 1]))
    weights = op.Softmax(scores if bias is None else op.Add(scores, bias), axis=-1)
    mixed = op.MatMul(weights, by_head(v, [0, 2, 1, 3]))
    return op.Reshape(op.Transpose(mixed, perm=[0, 2, 1, 3]), [0, 0, dim])


HEADS_FIRST = ([2, 0, 1, 3], [2, 0, 3, 1], [1, 2, 0, 3])
"""How q and v, k, and the result are transposed where the heads come before the batch."""
BATCH_FIRST = ([0, 2, 1, 3], [0, 2, 3, 1], [0, 2, 1, 3])
SWAPPED = [1, 0, 2, 3]


def _by_hand(
    op: Ops, q: V, k: V, v: V, bias: V, scale: V, split: V, joined: V, layout: tuple[list[int], ...]
) -> V:
    """Attention as exporters write it down."""
    ahead, across, back = layout
    query, key, value = (
        op.Transpose(op.Reshape(x, split), perm=perm) for x, perm in ((q, ahead), (k, across), (v, ahead))
    )
    weights = op.Softmax(op.Add(op.Div(op.MatMul(query, key), scale), bias), axis=-1)
    return op.Reshape(op.Transpose(op.MatMul(weights, value), perm=back), joined)


def _is_attention(m: Match, heads_axis: int) -> Iterator[Guard]:
    yield m.floats("q", "k", "v", "bias"), "it is not in float32"
    width, split = m.size("q", -1), m.integers("split") or []
    known = len(m.shape("q") or ()) == 3 and width > 0 and m.size("k", -1) == m.size("v", -1) == width
    yield known, "q, k and v are not of one known width"
    heads = split[2] if len(split) == 4 else 0
    yield heads > 0 and split == [0, 0, heads, width // heads], "the features are not split by heads"
    yield m.integers("joined") in ([0, 0, width], [0, 0, -1]), "the heads are not joined again"
    yield m.number("scale") == float(np.float32(math.sqrt(width // heads))), "the scale is not 1 / sqrt(d)"
    bias = m.shape("bias") or ()
    fit = len(bias) == 4 and bias[heads_axis] == heads and bias[1 - heads_axis] == 1
    yield fit, "the bias is not one for each head, and the same for the batch"


def _bare(draw: Draw, heads: int, dim: int, *, heads_axis: int) -> dict[str, V]:
    parts: dict[str, V] = {name: draw("batch", "time", dim) for name in "qkv"}
    sizes: tuple[int, ...] = (1, heads) if heads_axis else (heads, 1)
    joined = np.array([0, 0, dim if heads > 1 else -1])
    numbers = {"split": np.array([0, 0, heads, dim // heads]), "joined": joined}
    scale = np.array(math.sqrt(dim // heads), np.float32)
    return {**parts, **numbers, "scale": scale, "bias": draw(*sizes, "time", "time")}


class RaiseAttention(Rule):
    """``softmax(q·kᵀ / sqrt(d) + bias) · v``, head by head, batch before heads, is ``Attention``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, bias: V, scale: V, split: V, joined: V) -> V:
        return _by_hand(op, q, k, v, bias, scale, split, joined, BATCH_FIRST)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _is_attention(m, 1)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, bias: V, m: Match) -> V:
        return vamp(op).Attention(q, k, v, bias, heads=(m.integers("split") or [])[2])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from _attention_samples(draw, heads_axis=1)


def _attention_samples(draw: Draw, *, heads_axis: int) -> Iterator[Sample]:
    for heads, dim in ((1, 4), (3, 6), (2, 16)):
        yield Sample(**_bare(draw, heads, dim, heads_axis=heads_axis))
    good = _bare(draw, 2, 8, heads_axis=heads_axis)
    yield Refused("1 / sqrt(d)", **{**good, "scale": np.array(4, np.float32)})
    yield Refused("split by heads", **{**good, "split": np.array([0, 0, 2, 5])})
    yield Refused("joined again", **{**good, "joined": np.array([0, -1, 8])})
    yield Refused("each head", **{**good, "bias": draw(1, 1, "time", "time")})
    yield Refused("one known width", **{**good, "q": draw.unranked("batch", "time", 8)})
    arrays = {k: v.astype(np.float64) for k, v in good.items() if v.dtype == np.float32}
    yield Refused("float32", **{**good, **arrays})


class RaiseHeadsFirstAttention(Rule):
    """The same with the heads before the batch."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, bias: V, scale: V, split: V, joined: V) -> V:
        return _by_hand(op, q, k, v, bias, scale, split, joined, HEADS_FIRST)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _is_attention(m, 0)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, bias: V, m: Match) -> V:
        swapped = _swapped(op, bias)
        return vamp(op).Attention(q, k, v, swapped, heads=(m.integers("split") or [])[2])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from _attention_samples(draw, heads_axis=0)


def _swapped(op: Ops, bias: V) -> V:
    """The bias with its first two axes exchanged; where they were exchanged before, as it was."""
    maker = bias.producer()
    if maker is not None and maker.op_type == "Transpose" and list(maker.attributes["perm"].value) == SWAPPED:
        return maker.inputs[0]
    return op.Transpose(bias, perm=SWAPPED)


RULES = (RaiseAttention, RaiseHeadsFirstAttention, StandardAttention, ClassicAttention, UnbiasedAttention)
