"""GatedGELU: with ONNX Gelu from opset 20, with Tanh before."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Guard, Match, Refused, Rule, Sample, Stage, V

from .tanh_gelu import CLOSE, gelu, samples, tanh_gelu


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
        return op.Mul(value, gelu(op, gate))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield from samples(draw)
        yield Refused("width of x", x=draw.unranked("batch", "time", 4))


class RaiseSplitGatedGELU(Rule):
    """Two halves by Split, the first times the tanh-GELU of the second, are ``GatedGELU``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, axis: V) -> V:
        value, gate = op.Split(x, axis=axis, num_outputs=2, outputs=2)
        return op.Mul(value, tanh_gelu(op, gate))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _halves(m)

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return vamp(op).GatedGELU(x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            yield Sample(axis=-1, opset=18, **sample.arguments)
        x = draw("batch", "time", 4)
        yield Sample(x=x, axis=2, opset=18)
        yield Refused("last axis", x=draw("batch", 4, 4), axis=1, opset=18)
        yield Refused("even width", x=draw("batch", "time", 5), axis=2, opset=18)
        yield Refused("float32", x=x.astype(np.float64), axis=2, opset=18)


def _halves(m: Match) -> Iterator[Guard]:
    yield m.floats("x"), "it is not in float32"
    yield m.is_last_axis("axis", of="x"), "it is not the last axis that is halved"
    yield m.size("x", -1) > 0 and m.size("x", -1) % 2 == 0, "x has no even width that is known"


class RaiseSizedSplitGatedGELU(Rule):
    """The same, where the widths of the halves are written down."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, axis: V, sizes: V) -> V:
        value, gate = op.Split(x, sizes, axis=axis, outputs=2)
        return op.Mul(value, tanh_gelu(op, gate))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _halves(m)
        yield m.integers("sizes") == [m.size("x", -1) // 2] * 2, "the parts are not halves"

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return vamp(op).GatedGELU(x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for sample in samples(draw):
            half = sample.arguments["x"].shape[-1] // 2
            yield Sample(axis=-1, sizes=np.array([half, half]), **sample.arguments)
        x = draw("batch", "time", 4)
        halves = np.array([2, 2])
        yield Refused("not halves", x=draw("batch", 4), axis=1, sizes=np.array([1, 3]))
        yield Refused("last axis", x=draw("batch", 4, 4), axis=1, sizes=halves)
        yield Refused("even width", x=draw.unranked("batch", 4), axis=-1, sizes=halves)
        yield Refused("float32", x=x.astype(np.float64), axis=-1, sizes=halves)


class RaiseSlicedGatedGELU(Rule):
    """The same, where the halves are two slices."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, axis: V, start: V, middle: V, end: V) -> V:
        value = op.Slice(x, start, middle, axis)
        return op.Mul(value, tanh_gelu(op, op.Slice(x, middle, end, axis)))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _halves(m)
        bounds = [m.integers(name) for name in ("start", "middle", "end")]
        width = m.size("x", -1)
        yield bounds == [[0], [width // 2], [width]], "the slices are not the halves"

    @staticmethod
    def after(op: Ops, x: V) -> V:
        return vamp(op).GatedGELU(x)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        def bounds(*numbers: int) -> dict[str, V]:
            names = ("axis", "start", "middle", "end")
            return {n: np.array([number]) for n, number in zip(names, numbers, strict=True)}

        for sample in samples(draw):
            width = sample.arguments["x"].shape[-1]
            yield Sample(**bounds(-1, 0, width // 2, width), **sample.arguments)
        x = draw("batch", "time", 4)
        yield Refused("not the halves", x=draw("batch", 6), **bounds(-1, 1, 3, 5))
        yield Refused("not the halves", x=draw("batch", 6), **bounds(-1, 0, 2, 4))
        yield Refused("last axis", x=draw("batch", 4, 4), **bounds(1, 0, 2, 4))
        yield Refused("even width", x=draw.unranked("batch", 4), **bounds(-1, 0, 2, 4))
        yield Refused("float32", x=x.astype(np.float64), **bounds(-1, 0, 2, 4))


RULES = (
    RaiseSplitGatedGELU,
    RaiseSizedSplitGatedGELU,
    RaiseSlicedGatedGELU,
    StandardGatedGELU,
    ClassicGatedGELU,
)
