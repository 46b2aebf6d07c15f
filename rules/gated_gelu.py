"""GatedGELU: with ONNX Gelu from opset 20, with Tanh before."""

from __future__ import annotations

import math
from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-5)
"""For negative gates ``1 + tanh`` cancels: the error is absolute, up to a few 2⁻²⁴ of value times gate."""


def samples(draw: Draw) -> Iterator[Sample]:
    """Ordinary, small and large gates; one feature; the two halves far apart in size."""
    yield Sample(x=draw("batch", "time", 8))
    yield Sample(x=draw("batch", "time", 2, scale=1e-4))
    yield Sample(x=draw("batch", "time", 6, scale=8.0))


def width_is_known(m: Match) -> Iterator[Guard]:
    """The halves are split by their width."""
    yield m.size("x", -1) > 0, "the width of x is unknown"


class StandardGatedGELU(Rule):
    """The first half times ONNX Gelu, tanh form, of the second."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).GatedGELU(x)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.opset >= 20, "Gelu needs opset 20"
        yield from width_is_known(m)

    @staticmethod
    def after(op: Ops, x: V, m: Match) -> V:
        half = m.size("x", -1) // 2
        value, gate = op.Split(x, [half, half], axis=-1, outputs=2)
        return op.Mul(value, op.Gelu(gate, approximate="tanh"))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            yield Sample(opset=20, **sample.arguments)
        yield Refused("opset 20", opset=19, x=draw("batch", "time", 4))
        yield Refused("width of x", opset=20, x=draw.unranked("batch", "time", 4))


class ClassicGatedGELU(Rule):
    """The first half times ``g/2 · (1 + tanh(sqrt(2/π) · (g + 0.044715·g³)))``, g being the second."""

    stage = Stage.LOWER
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
        cube = op.Mul(op.Mul(gate, gate), gate)
        inner = op.Mul(op.Add(gate, op.Mul(cube, 0.044715)), math.sqrt(2 / math.pi))
        gelu = op.Mul(op.Mul(gate, 0.5), op.Add(op.Tanh(inner), 1.0))
        return op.Mul(value, gelu)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)
        yield Refused("width of x", x=draw.unranked("batch", "time", 4))


RULES = (StandardGatedGELU, ClassicGatedGELU)
