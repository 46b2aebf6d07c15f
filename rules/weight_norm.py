"""Weight normalisation: a constant of g and v."""

from __future__ import annotations

from collections.abc import Iterator

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


RULES = (FoldWeightNorm,)
