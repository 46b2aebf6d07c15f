"""LoRA: merged into the weight that it adapts."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Rule, Sample, Stage, V


class MergeLoRA(Rule):
    """``LoRA(weight, a, b)`` is ``weight + (scale·b)·a``, a constant."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-6, atol=1e-6)

    @staticmethod
    def before(op: Ops, weight: V, a: V, b: V, scale: V) -> V:
        return vamp(op).LoRA(weight, a, b, scale=scale)

    @staticmethod
    def after(op: Ops, weight: V, a: V, b: V, scale: float) -> V:
        return op.Add(weight, op.MatMul(op.Mul(b, scale), a))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(weight=draw(9, 5), a=draw(8, 5), b=draw(9, 8), scale=0.125)
        yield Sample(weight=draw(4, 6, scale=1e-3), a=draw(3, 6), b=draw(4, 3), scale=1 / 3)
        yield Sample(weight=draw(5, 5), a=draw(2, 5), b=draw(5, 2), scale=2.5)


RULES = (MergeLoRA,)
