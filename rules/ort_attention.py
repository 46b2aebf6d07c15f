"""Attention as one operator of ONNX Runtime, which adds the bias and takes the softmax on its way."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, microsoft, vamp
from vampconv.rewrite import Draw, Guard, Match, Rule, Sample, Stage, V

from .attention import CLOSE, samples, unknown_width, width_is_known


class OrtAttention(Rule, before=("StandardAttention", "ClassicAttention")):
    """``Attention`` is ``MultiHeadAttention`` of ONNX Runtime with a bias on its scores."""

    stage = Stage.LOWER
    target = "ort"
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, bias: V, heads: V) -> V:
        return vamp(op).Attention(q, k, v, bias, heads=heads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, bias: V, heads: int) -> V:
        return microsoft(op).MultiHeadAttention(q, k, v, None, None, bias, num_heads=heads)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw, bias=True)
        yield unknown_width(draw, bias=True)


class OrtUnbiasedAttention(Rule, before="UnbiasedAttention"):
    """``Attention`` without a bias (checkpoints of ``flash_attn``) is ``MultiHeadAttention`` of ONNX Runtime."""

    stage = Stage.LOWER
    target = "ort"
    claim = CLOSE

    @staticmethod
    def before(op: Ops, q: V, k: V, v: V, heads: V) -> V:
        return vamp(op).Attention(q, k, v, heads=heads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, q: V, k: V, v: V, heads: int) -> V:
        return microsoft(op).MultiHeadAttention(q, k, v, num_heads=heads)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw, bias=False)
        yield unknown_width(draw, bias=False)


RULES = (OrtAttention, OrtUnbiasedAttention)
