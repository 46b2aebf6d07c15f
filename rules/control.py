"""Control encoders."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Rule, Sample, Stage, V


class LowerControlEncoder(Rule):
    """A control, time-major, through its projection, times its mask."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op: Ops, control: V, mask: V, weight: V, bias: V) -> V:
        return vamp(op).ControlEncoder(control, mask, weight, bias)

    @staticmethod
    def after(op: Ops, control: V, mask: V, weight: V, bias: V) -> V:
        by_time = op.Transpose(control, perm=[0, 2, 1])
        projected = op.Add(op.MatMul(by_time, op.Transpose(weight, perm=[1, 0])), bias)
        return op.Mul(projected, op.Unsqueeze(mask, [2]))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for dim in (1, 6):
            yield Sample(
                control=draw("batch", dim, "time"),
                mask=draw("batch", "time"),
                weight=draw(4, dim),
                bias=draw(4),
            )


RULES = (LowerControlEncoder,)
