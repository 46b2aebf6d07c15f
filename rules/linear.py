"""Products with a weight matrix: one MatMul, the transposition of the weight left to the constants."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

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


class RaisePointwiseConv(Rule):
    """A convolution of kernel 1 between two transpositions works on time-major data: ``PointwiseConv``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V) -> V:
        channels = op.Transpose(x, perm=[0, 2, 1])
        y = op.Conv(channels, weight, bias, strides=[1], dilations=[1], pads=[0, 0])
        return op.Transpose(y, perm=[0, 2, 1])

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x", "weight", "bias"), "it is not in float32"
        yield m.is_constant("weight"), "the weight is not a constant"
        width = m.size("x", -1)
        shape = m.shape("weight") or ()
        yield (
            width > 0 and shape[1:] == (width, 1),
            "it looks at more than one moment, or at groups of channels",
        )
        yield m.shape("bias") == shape[:1], "the bias does not fit"

    @staticmethod
    def after(op: Ops, x: V, weight: V, bias: V) -> V:
        return vamp(op).PointwiseConv(x, weight, bias)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        x = draw("batch", "time", 6)
        yield Sample(x=x, weight=draw(5, 6, 1), bias=draw(5))
        yield Sample(x=draw("batch", "time", 1), weight=draw(3, 1, 1), bias=draw(3))
        yield Refused("one moment", x=draw("batch", 9, 6), weight=draw(5, 6, 2), bias=draw(5))
        yield Refused("not a constant", x=x, weight=draw.input(5, 6, 1), bias=draw(5))
        yield Refused("does not fit", x=x, weight=draw(5, 6, 1), bias=draw.unranked(5))
        weights: dict[str, V] = {
            "weight": draw(5, 6, 1).astype(np.float64),
            "bias": draw(5).astype(np.float64),
        }
        yield Refused("float32", x=x.astype(np.float64), **weights)


RULES = (RaisePointwiseConv, LowerLinear, LowerLinearBias, LowerPointwiseConv)
