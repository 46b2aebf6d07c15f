"""RMSNorm: as one operator from opset 23, in its classic parts before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

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


class RaiseRMSNorm(Rule):
    """``x · 1/sqrt(mean(x²) + eps) · weight`` over the last axis, however it is written, is ``RMSNorm``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, eps: V, axes: V) -> V:
        squares = op.either(lambda: op.Mul(x, x), lambda: op.Pow(x, 2.0))
        mean = op.either(
            lambda: op.ReduceMean(squares, axes, keepdims=1),
            lambda: op.ReduceMean(squares, axes=axes, keepdims=1),
        )
        root = op.Sqrt(op.Add(mean, eps))
        normed = op.either(
            lambda: op.Div(x, root),
            lambda: op.Mul(x, op.Reciprocal(root)),
            lambda: op.Mul(x, op.Div(1.0, root)),
        )
        return op.Mul(normed, weight)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x", "weight", "eps"), "it is not in float32"
        yield m.is_last_axis("axes", of="x"), "the mean is not over the last axis alone"
        yield m.shape("weight") == (m.size("x", -1),), "the weight is not one number for each feature"
        yield (m.number("eps") or 0) > 0, "eps is not a positive constant"

    @staticmethod
    def after(op: Ops, x: V, weight: V, m: Match) -> V:
        return vamp(op).RMSNorm(x, weight, eps=m.number("eps"))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            eps = np.array(sample.arguments["eps"], np.float32)
            yield Sample(**{**sample.arguments, "eps": eps, "axes": [-1]})
        good: dict[str, V] = {"x": draw("batch", "time", 4), "weight": draw(4), "axes": [2]}
        yield Sample(eps=np.array(1e-6, np.float32), **good)
        eps = np.array(1e-6, np.float32)
        yield Refused("last axis", eps=eps, **{**good, "axes": [1]})
        yield Refused("last axis", eps=eps, **{**good, "axes": [1, 2]})
        yield Refused("each feature", eps=eps, **{**good, "weight": draw(1)})
        yield Refused(
            "each feature", eps=eps, **{**good, "x": draw.unranked("batch", "time", 4), "axes": [-1]}
        )
        yield Refused("positive constant", eps=eps * 0, **good)
        yield Refused("positive constant", eps=draw.input(1) ** 2, **good)
        double: dict[str, V] = {
            k: v.astype(np.float64) for k, v in (("x", good["x"]), ("weight", good["weight"]), ("eps", eps))
        }
        yield Refused("float32", axes=[2], **double)


RULES = (RaiseRMSNorm, StandardRMSNorm, ClassicRMSNorm)
