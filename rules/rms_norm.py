"""RMSNorm: as one operator from opset 23, in its classic parts before."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-6)


def samples(draw: Draw) -> Iterator[Sample]:
    """Ordinary numbers, small ones where eps shows, and a large eps that dominates."""
    yield Sample(x=draw("batch", "time", 64), weight=draw(64), eps=1e-6)
    yield Sample(x=draw("batch", "time", 6, scale=1e-4), weight=draw(6), eps=1e-6)
    yield Sample(x=draw("batch", "time", 64, scale=1e-4), weight=draw(64), eps=1e-2)
    yield Sample(x=draw("batch", "time", 5, scale=1e4), weight=draw(5, scale=1e-2), eps=1e-6)


class StandardRMSNorm(Rule):
    """``RMSNorm`` is ONNX RMSNormalization over the last axis."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, eps: V) -> V:
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.opset >= 23, "RMSNormalization needs opset 23"

    @staticmethod
    def after(op: Ops, x: V, weight: V, eps: float) -> V:
        return op.RMSNormalization(x, weight, axis=-1, epsilon=eps)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            yield Sample(opset=23, **sample.arguments)
        yield Refused("opset 23", opset=22, x=draw("batch", "time", 4), weight=draw(4), eps=1e-6)


class ClassicRMSNorm(Rule):
    """``RMSNorm`` is ``x / sqrt(mean(x²) + eps) · weight``."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, eps: V) -> V:
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def after(op: Ops, x: V, weight: V, eps: float, m: Match) -> V:
        squares = op.Mul(x, x)
        if m.opset >= 18:
            mean = op.ReduceMean(squares, [-1], keepdims=1)
        else:
            mean = op.ReduceMean(squares, axes=[-1], keepdims=1)
        return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, eps))), weight)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)


RULES = (StandardRMSNorm, ClassicRMSNorm)
