"""A Snake of alpha 1 by a cosine, where the constant that this adds can be taken off again."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V


class CosineSnake(Rule):
    """Between two convolutions, ``u + sin²(u)`` is ``(v − cos(v) + 1)/2`` with ``v = 2u``: one product less.

    Its factors go into the weights, and its 1 into the second bias, so that one must not pad.
    """

    stage = Stage.CANONICAL
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V,
        out_weight: V, out_bias: V, out_strides: V, out_dilations: V, out_pads: V,
    ) -> V:  # fmt: skip
        inner = op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)
        waves = vamp(op).UnitSnake(inner)
        return op.Conv(
            waves, out_weight, out_bias, strides=out_strides, dilations=out_dilations, pads=out_pads
        )

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield not any(m["out_pads"]), "the convolution after it sees zeros beyond the ends"

    @staticmethod
    def after(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V,
        out_weight: V, out_bias: V, out_strides: V, out_dilations: V, out_pads: V,
    ) -> V:  # fmt: skip
        inner = op.Conv(
            x, op.Mul(weight, 2.0), op.Mul(bias, 2.0), strides=strides, dilations=dilations, pads=pads
        )
        waves, halved = op.Sub(inner, op.Cos(inner)), op.Div(out_weight, 2.0)
        one = op.ReduceSum(halved, [1, 2], keepdims=0)
        layout = {"strides": out_strides, "dilations": out_dilations, "pads": out_pads}
        return op.Conv(waves, halved, op.Add(out_bias, one), **layout)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        first: dict[str, V] = {"weight": draw(4, 2, 3), "bias": draw(4), "strides": [1], "dilations": [3]}
        second: dict[str, V] = {"out_bias": draw(3), "out_strides": [1], "out_dilations": [1]}
        x = draw("batch", 2, "time")
        pointwise = draw(3, 4, 1)
        yield Sample(x=x, out_weight=pointwise, out_pads=[0, 0], pads=[3, 3], **first, **second)
        wide = {**second, "out_strides": [2], "out_dilations": [2]}
        yield Sample(x=x, out_weight=draw(3, 4, 3), out_pads=[0, 0], pads=[6, 5], **first, **wide)
        for pads in ([0, 1], [1, 0]):
            beyond: dict[str, V] = {"out_weight": draw(3, 4, 2), "out_pads": pads}
            yield Refused("beyond the ends", x=x, pads=[3, 3], **beyond, **first, **second)


RULES = (CosineSnake,)
