"""Weight normalisation: a constant of g and v."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V


class FoldWeightNorm(Rule):
    """``WeightNorm(g, v)`` is ``v · (g / ‖v‖)``, a constant."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-6, atol=1e-9)

    @staticmethod
    def before(op: Ops, g: V, v: V) -> V:
        return vamp(op).WeightNorm(g, v)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.shape("v") is not None, "the rank of v is unknown"

    @staticmethod
    def after(op: Ops, g: V, v: V, m: Match) -> V:
        rank = len(m.shape("v") or ())
        squares = op.ReduceSum(op.Mul(v, v), list(range(1, rank)), keepdims=1)
        return op.Mul(v, op.Div(g, op.Sqrt(squares)))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(g=draw(6, 1, 1), v=draw(6, 5, 1))
        yield Sample(g=draw(3, 1, 1, scale=1e-3), v=draw(3, 4, 7, scale=10))
        yield Sample(g=draw(2, 1), v=draw(2, 9, scale=1e-4))
        yield Refused("rank of v", g=draw(6, 1), v=draw.unranked(6, 5))


def _norm(op: Ops, v: V, axes: V) -> V:
    squares = op.either(lambda: op.Mul(v, v), lambda: op.Pow(v, 2.0))
    return op.either(
        lambda: op.ReduceL2(v, axes, keepdims=1),
        lambda: op.ReduceL2(v, axes=axes, keepdims=1),
        lambda: op.Sqrt(op.ReduceSum(squares, axes, keepdims=1)),
    )


class RaiseWeightNorm(Rule):
    """``v · (g / ‖v‖)`` of constants, the norm over every axis but the first, is ``WeightNorm``."""

    stage = Stage.RAISE
    claim = Close(rtol=1e-6, atol=1e-9)

    @staticmethod
    def before(op: Ops, g: V, v: V, axes: V) -> V:
        return op.Mul(v, op.Div(g, _norm(op, v, axes)))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("g", "v"), "it is not in float32"
        yield m.is_constant("g") and m.is_constant("v"), "g or v is not a constant"
        shape = m.shape("v") or ()
        axes = sorted(axis % max(len(shape), 1) for axis in m.integers("axes") or [])
        yield len(shape) > 1 and axes == list(range(1, len(shape))), "the norm is over other axes"
        yield m.shape("g") == (*shape[:1], *(1,) * (len(shape) - 1)), "g is not one number for each row"

    @staticmethod
    def after(op: Ops, g: V, v: V) -> V:
        return vamp(op).WeightNorm(g, v)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(g=draw(6, 1, 1), v=draw(6, 5, 1), axes=[1, 2])
        yield Sample(g=draw(3, 1, 1, scale=1e-3), v=draw(3, 4, 7, scale=10), axes=[-1, 1])
        yield Sample(g=draw(2, 1), v=draw(2, 9, scale=1e-4), axes=[-1])
        yield Refused("other axes", g=draw(4, 1, 1), v=draw(4, 4, 7), axes=[2])
        yield Refused("other axes", g=draw(4, 1, 1), v=draw(4, 4, 7), axes=[0, 2])
        yield Refused("each row", g=draw(1, 1, 1), v=draw(4, 4, 7), axes=[1, 2])
        yield Refused("not a constant", g=draw.input(4, 1, 1), v=draw(4, 4, 7), axes=[1, 2])
        yield Refused("not a constant", g=draw(4, 1, 1), v=draw.input(4, 4, 7), axes=[1, 2])
        double = draw(4, 3).astype(np.float64)
        yield Refused("float32", g=double[:, :1].copy(), v=double, axes=[1])


class RaiseScaledUnits(RaiseWeightNorm):
    """``(v / ‖v‖) · g`` of constants is ``WeightNorm``."""

    @staticmethod
    def before(op: Ops, g: V, v: V, axes: V) -> V:
        return op.Mul(op.Div(v, _norm(op, v, axes)), g)


RULES = (RaiseWeightNorm, RaiseScaledUnits, FoldWeightNorm)
