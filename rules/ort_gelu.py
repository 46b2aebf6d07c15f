"""The tanh form of GELU as one operator of ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, microsoft, vamp
from vampconv.rewrite import Draw, Guard, Match, Refused, Rule, Sample, Stage, V

from .gated_gelu import width_is_known
from .tanh_gelu import CLOSE, samples


class OrtGatedGELU(Rule, before=("StandardGatedGELU", "ClassicGatedGELU")):
    """The first half times ``FastGelu`` of the second."""

    stage = Stage.LOWER
    target = "ort"
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).GatedGELU(x)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, x: V, m: Match) -> V:
        half = m.size("x", -1) // 2
        value, gate = op.Split(x, [half, half], axis=-1, outputs=2)
        return op.Mul(value, microsoft(op).FastGelu(gate))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)
        yield Refused("width of x", x=draw.unranked("batch", "time", 4))


class OrtTanhGELU(Rule, before=("StandardTanhGELU", "ClassicTanhGELU")):
    """``TanhGELU`` is ``FastGelu``."""

    stage = Stage.LOWER
    target = "ort"
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).TanhGELU(x)

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return microsoft(op).FastGelu(x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)


RULES = (OrtGatedGELU, OrtTanhGELU)
