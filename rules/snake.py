"""Snake: its scales moved into the convolutions around it, where nothing else sees them; else as it is written."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.dialect.snake import EPSILON
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

SMALLEST_ALPHA = 1e-2
"""Below it the epsilon would show: alpha / (alpha + 1e-9) must round to 1 within float32."""
CLOSE = Close(rtol=1e-5, atol=1e-5)


def _guards(m: Match) -> Iterator[Guard]:
    alpha = m.constant("alpha")
    yield alpha is not None, "alpha is not a constant"
    assert alpha is not None
    yield bool((np.abs(alpha) >= SMALLEST_ALPHA).all()), "an alpha is too near to zero to divide by"


def _near_zero(draw: Draw) -> Iterator[V]:
    """Alphas of 4 channels that must be refused: all tiny, and one just below the smallest."""
    yield draw(1, 4, 1, scale=1e-4)
    alpha = draw.uniform(0.5, 2, 1, 4, 1)
    alpha[0, 2] = -0.9 * SMALLEST_ALPHA
    yield alpha


def _small(draw: Draw) -> V:
    """Alphas of 4 channels that are small, but not too small."""
    alpha = draw.uniform(1.1, 9, 1, 4, 1) * SMALLEST_ALPHA
    alpha[0, 1] = 1.1 * SMALLEST_ALPHA
    return alpha


def _around(draw: Draw) -> dict[str, V]:
    """Convolution weights and attributes on both sides of a Snake of 4 channels, and its input."""
    layout: dict[str, V] = {"strides": [1], "dilations": [3], "pads": [3, 3]}
    first: dict[str, V] = {"weight": draw(4, 2, 3), "bias": draw(4), **layout}
    second: dict[str, V] = {
        "out_weight": draw(3, 4, 2),
        "out_bias": draw(3),
        "out_strides": [2],
        "out_dilations": [1],
    }
    return {"x": draw("batch", 2, "time"), **first, **second, "out_pads": [1, 1]}


class FoldSnakeScales(Rule):
    """Between two convolutions, ``Snake`` is ``u + sin²(u)``: alpha scales the first one, 1/alpha the second."""

    stage = Stage.CANONICAL
    claim = CLOSE

    @staticmethod
    def before(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V, alpha: V,
        out_weight: V, out_bias: V, out_strides: V, out_dilations: V, out_pads: V,
    ) -> V:  # fmt: skip
        inner = op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)
        waves = vamp(op).Snake(inner, alpha)
        return op.Conv(
            waves, out_weight, out_bias, strides=out_strides, dilations=out_dilations, pads=out_pads
        )

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _guards(m)

    @staticmethod
    def after(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V, alpha: V,
        out_weight: V, out_bias: V, out_strides: V, out_dilations: V, out_pads: V,
    ) -> V:  # fmt: skip
        scaled = op.Mul(weight, op.Reshape(alpha, [-1, 1, 1])), op.Mul(bias, op.Reshape(alpha, [-1]))
        inner = op.Conv(x, *scaled, strides=strides, dilations=dilations, pads=pads)
        waves, unscaled = vamp(op).UnitSnake(inner), op.Div(out_weight, alpha)
        return op.Conv(waves, unscaled, out_bias, strides=out_strides, dilations=out_dilations, pads=out_pads)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(alpha=draw.uniform(0.3, 3, 1, 4, 1), **_around(draw))
        yield Sample(alpha=draw.uniform(-2, -0.5, 1, 4, 1), **_around(draw))
        yield Sample(alpha=_small(draw), **_around(draw))
        for alpha in _near_zero(draw):
            yield Refused("too near to zero", alpha=alpha, **_around(draw))
        yield Refused("not a constant", alpha=draw.input(1, 4, 1), **_around(draw))


class FoldSnakeOutputScale(Rule):
    """Before a convolution, ``Snake(x)`` is ``u + sin²(u)`` with ``u = alpha·x``; 1/alpha goes into the weight."""

    stage = Stage.CANONICAL
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, alpha: V, weight: V, bias: V, strides: V, dilations: V, pads: V) -> V:
        waves = vamp(op).Snake(x, alpha)
        return op.Conv(waves, weight, bias, strides=strides, dilations=dilations, pads=pads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _guards(m)

    @staticmethod
    def after(op: Ops, x: V, alpha: V, weight: V, bias: V, strides: V, dilations: V, pads: V) -> V:
        waves, unscaled = vamp(op).UnitSnake(op.Mul(x, alpha)), op.Div(weight, alpha)
        return op.Conv(waves, unscaled, bias, strides=strides, dilations=dilations, pads=pads)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        conv: dict[str, V] = {
            "weight": draw(3, 4, 3),
            "bias": draw(3),
            "strides": [2],
            "dilations": [3],
            "pads": [3, 3],
        }
        x = draw("batch", 4, "time")
        yield Sample(x=x, alpha=draw.uniform(0.3, 3, 1, 4, 1), **conv)
        yield Sample(x=x, alpha=draw.uniform(-2, -0.5, 1, 4, 1), **conv)
        yield Sample(x=x * 20, alpha=_small(draw), **conv)
        for alpha in _near_zero(draw):
            yield Refused("too near to zero", x=x, alpha=alpha, **conv)
        yield Refused("not a constant", x=x, alpha=draw.input(1, 4, 1), **conv)


class LowerSnake(Rule):
    """``Snake(x)`` is ``x + sin²(alpha·x) · 1/(alpha + 1e-9)``."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op: Ops, x: V, alpha: V) -> V:
        return vamp(op).Snake(x, alpha)

    @staticmethod
    def after(op: Ops, x: V, alpha: V) -> V:
        wave = op.Sin(op.Mul(x, alpha))
        return op.Add(x, op.Mul(op.Mul(wave, wave), op.Div(1.0, op.Add(alpha, EPSILON))))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        x = draw("batch", 4, "time")
        yield Sample(x=x, alpha=draw.uniform(0.1, 3, 1, 4, 1))
        yield Sample(x=x, alpha=draw(1, 4, 1))
        yield Sample(x=x, alpha=draw(1, 4, 1) * 0)
        yield Sample(x=x * 1e6, alpha=draw.uniform(1, 3, 1, 4, 1) * EPSILON)


class LowerUnitSnake(Rule):
    """``u + sin²(u)``."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-6, atol=1e-6)

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).UnitSnake(x)

    @staticmethod
    def after(op: Ops, x: V) -> V:
        wave = op.Sin(x)
        return op.Add(x, op.Mul(wave, wave))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", 4, "time"))
        yield Sample(x=draw("batch", 2, "time", scale=30.0))


def _waves(op: Ops, x: V, alpha: V) -> V:
    wave = op.Sin(op.Mul(alpha, x))
    return op.either(lambda: op.Mul(wave, wave), lambda: op.Pow(wave, 2.0))


def _per_channel(m: Match) -> Iterator[Guard]:
    yield m.floats("x", "alpha"), "it is not in float32"
    channels = m.size("x", 1)
    fit = len(m.shape("x") or ()) == 3 and channels > 0 and m.shape("alpha") == (1, channels, 1)
    yield fit, "alpha is not one number for each channel"


class RaiseSnake(Rule):
    """``x + sin²(alpha·x) / (alpha + 1e-9)``, in any order, is ``Snake``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, alpha: V) -> V:
        waves, divisor = _waves(op, x, alpha), op.Add(alpha, EPSILON)
        scaled = op.either(
            lambda: op.Mul(waves, op.Reciprocal(divisor)),
            lambda: op.Mul(waves, op.Div(1.0, divisor)),
            lambda: op.Div(waves, divisor),
        )
        return op.Add(x, scaled)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _per_channel(m)

    @staticmethod
    def after(op: Ops, x: V, alpha: V) -> V:
        return vamp(op).Snake(x, alpha)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        x = draw("batch", 4, "time")
        yield Sample(x=x, alpha=draw.uniform(0.1, 3, 1, 4, 1))
        yield Sample(x=x * 30, alpha=draw(1, 4, 1))
        yield Refused("each channel", x=x, alpha=draw.uniform(0.1, 3, 1, 1, 1))
        yield Refused("each channel", x=x, alpha=draw.uniform(0.1, 3, 4, 1))
        double = draw.uniform(0.1, 3, 1, 4, 1).astype(np.float64)
        yield Refused("float32", x=x.astype(np.float64), alpha=double)


class RaiseFoldedSnake(Rule):
    """``x + inverse·sin²(alpha·x)``, the inverse computed by the exporter, is ``Snake``."""

    stage = Stage.RAISE
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, alpha: V, inverse: V) -> V:
        return op.Add(x, op.Mul(inverse, _waves(op, x, alpha)))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield from _per_channel(m)
        alpha, inverse = m.constant("alpha"), m.constant("inverse")
        yield alpha is not None and inverse is not None, "alpha or its inverse is not a constant"
        assert alpha is not None
        assert inverse is not None
        fits = alpha.shape == inverse.shape and inverse.dtype == np.float32
        product = inverse * (alpha.astype(np.float64) + EPSILON) if fits else np.zeros(1)
        yield bool((np.abs(product - 1) <= 2.0**-23).all()), "the factor is not 1 / (alpha + 1e-9)"

    @staticmethod
    def after(op: Ops, x: V, alpha: V) -> V:
        return vamp(op).Snake(x, alpha)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        x = draw("batch", 4, "time")
        for alpha in (draw.uniform(0.1, 3, 1, 4, 1), draw.uniform(-3, -0.1, 1, 4, 1)):
            inverse = (1 / (alpha + np.float32(EPSILON))).astype(np.float32)
            yield Sample(x=x, alpha=alpha, inverse=inverse)
            slightly = inverse.copy()
            slightly[0, 2] *= 1 + 2.0**-20
            yield Refused("not 1 /", x=x, alpha=alpha, inverse=slightly)
            yield Refused("not 1 /", x=x, alpha=alpha, inverse=alpha)
            yield Refused("not a constant", x=x, alpha=alpha, inverse=draw.input(1, 4, 1))
        yield Refused("each channel", x=x, alpha=draw(1, 1, 1), inverse=draw(1, 4, 1))
        yield Refused("float32", x=x.astype(np.float64), alpha=alpha.astype(np.float64), inverse=inverse)


RULES = (RaiseSnake, RaiseFoldedSnake, FoldSnakeScales, FoldSnakeOutputScale, LowerSnake, LowerUnitSnake)
