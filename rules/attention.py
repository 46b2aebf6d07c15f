"""Attention: as one operator from opset 23, as products and a softmax before."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

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


RULES = (StandardAttention, ClassicAttention, UnbiasedAttention)
