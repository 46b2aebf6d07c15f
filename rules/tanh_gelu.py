"""TanhGELU: with ONNX Gelu from opset 20, with Tanh before."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-5)
"""For negative gates ``1 + tanh`` cancels: the error is absolute, up to a few 2⁻²⁴ of value times gate."""


def samples(draw: Draw) -> Iterator[Sample]:
    """Ordinary, small and large gates; one feature; the two halves far apart in size."""
    yield Sample(x=draw("batch", "time", 8))
    yield Sample(x=draw("batch", "time", 2, scale=1e-4))
    yield Sample(x=draw("batch", "time", 6, scale=8.0))


def gelu(op: Ops, x: V) -> V:
    cube = op.Mul(op.Mul(x, x), x)
    inner = op.Mul(op.Add(x, op.Mul(cube, 0.044715)), math.sqrt(2 / math.pi))
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Tanh(inner), 1.0))


def _factor(op: Ops, x: V) -> V:
    """``1 + tanh(sqrt(2/π) · (x + 0.044715·x³))``."""
    cube = op.either(lambda: op.Mul(x, op.Mul(x, x)), lambda: op.Pow(x, 3.0))
    return op.Add(op.Tanh(op.Mul(op.Add(x, op.Mul(cube, 0.044715)), math.sqrt(2 / math.pi))), 1.0)


class RaiseTanhGELU(Rule):
    """``x/2 · (1 + tanh(…))`` is ``TanhGELU``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return op.Mul(op.Mul(x, 0.5), _factor(op, x))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x"), "it is not in float32"

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return vamp(op).TanhGELU(x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)
        double = draw("batch", "time", 4)
        yield Refused("float32", x=double.astype(np.float64))


class RaiseTanhGELUHalvedLast(RaiseTanhGELU):
    """``(x · (1 + tanh(…))) / 2`` is ``TanhGELU``."""

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return op.Mul(op.Mul(x, _factor(op, x)), 0.5)


class RaiseTanhGELUHalvedFactor(RaiseTanhGELU):
    """``x · ((1 + tanh(…)) / 2)`` is ``TanhGELU``."""

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return op.Mul(x, op.Mul(_factor(op, x), 0.5))


def tanh_gelu(op: Ops, x: V) -> V:
    return op.either(lambda: vamp(op).TanhGELU(x), lambda: op.Gelu(x, approximate="tanh"))


class StandardTanhGELU(Rule):
    """ONNX Gelu in its tanh form."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).TanhGELU(x)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.opset >= 20, "Gelu needs opset 20"

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return op.Gelu(x, approximate="tanh")

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            yield Sample(opset=20, **sample.arguments)
        yield Refused("opset 20", opset=19, x=draw("batch", "time", 4))


class ClassicTanhGELU(Rule):
    """``x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715·x³)))``."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).TanhGELU(x)

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return gelu(op, x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)


RULES = (
    RaiseTanhGELU,
    RaiseTanhGELUHalvedLast,
    RaiseTanhGELUHalvedFactor,
    StandardTanhGELU,
    ClassicTanhGELU,
)
