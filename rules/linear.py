"""Products with a weight matrix: one MatMul, the transposition of the weight left to the constants."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-5)


class LowerLinear(Rule):
    """``Linear(x, weight)`` is ``x · weightᵀ``."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V) -> V:
        return vamp(op).Linear(x, weight)

    @staticmethod
    def after(op: Ops, x: V, weight: V) -> V:
        return op.MatMul(x, op.Transpose(weight, perm=[1, 0]))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6))
        yield Sample(x=draw("batch", "time", 3, scale=1e-4), weight=draw(9, 3))


class LowerLinearBias(Rule):
    """``Linear(x, weight, bias)`` is ``x · weightᵀ + bias``."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V) -> V:
        return vamp(op).Linear(x, weight, bias)

    @staticmethod
    def after(op: Ops, x: V, weight: V, bias: V) -> V:
        return op.Add(op.MatMul(x, op.Transpose(weight, perm=[1, 0])), bias)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6), bias=draw(5))


class LowerPointwiseConv(Rule):
    """A convolution of kernel size 1 on time-major data is a product with its squeezed weight."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V) -> V:
        return vamp(op).PointwiseConv(x, weight, bias)

    @staticmethod
    def after(op: Ops, x: V, weight: V, bias: V) -> V:
        matrix = op.Transpose(op.Squeeze(weight, [2]), perm=[1, 0])
        return op.Add(op.MatMul(x, matrix), bias)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6, 1), bias=draw(5))


RULES = (LowerLinear, LowerLinearBias, LowerPointwiseConv)
