"""Padding inside the graph, by a length that is known only when it runs."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Exact, Guard, Match, Refused, Rule, Sample, Stage, V


class LowerPadToMultiple(Rule):
    """ONNX Pad on the right of the last axis, by ``−samples mod multiple``."""

    stage = Stage.LOWER
    claim = Exact()

    @staticmethod
    def before(op: Ops, x: V, multiple: V) -> V:
        return vamp(op).PadToMultiple(x, multiple=multiple)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.shape("x") is not None, "the rank is unknown"

    @staticmethod
    def after(op: Ops, x: V, multiple: int, m: Match) -> V:
        rank = len(m.shape("x") or ())
        samples = op.Shape(x, start=rank - 1, end=rank)
        missing = op.Mod(op.Neg(samples), multiple)
        return op.Pad(x, op.Concat([0] * (2 * rank - 1), missing, axis=0), mode="constant")

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for multiple in (1, 4, 13):
            yield Sample(x=draw("batch", 1, "time"), multiple=multiple)
        yield Sample(x=draw("time"), multiple=5)
        yield Sample(x=draw("batch", 2, 3, "time"), multiple=6)
        yield Refused("rank", x=draw.unranked("batch", 1, "time"), multiple=4)


RULES = (LowerPadToMultiple,)
