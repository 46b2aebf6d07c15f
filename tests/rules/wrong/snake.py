"""Wrong Snakes, and wrong ways to fold their scales."""

from __future__ import annotations

import numpy as np
from vampconv_rules.snake import (
    SMALLEST_ALPHA,
    FoldSnakeOutputScale,
    FoldSnakeScales,
    LowerSnake,
    LowerUnitSnake,
)

from vampconv.dialect import vamp

from .variant import also, unguarded, wrong


def column(op, alpha):
    return op.Reshape(alpha, [-1, 1, 1])


def vector(op, alpha):
    return op.Reshape(alpha, [-1])


def square(op, x):
    return op.Mul(x, x)


WEIGHTS = {
    "alpha into the weight but not the bias": {"bias": lambda _op, b, _a: b},
    "alpha into the bias but not the weight": {"weight": lambda _op, w, _a: w},
    "alpha on neither": {"weight": lambda _op, w, _a: w, "bias": lambda _op, b, _a: b},
    "alpha squared": {
        "weight": lambda op, w, a: op.Mul(w, column(op, square(op, a))),
        "bias": lambda op, b, a: op.Mul(b, vector(op, square(op, a))),
    },
    "1/alpha before, too": {
        "weight": lambda op, w, a: op.Div(w, column(op, a)),
        "bias": lambda op, b, a: op.Div(b, vector(op, a)),
    },
    "alpha of one channel for all": {
        "weight": lambda op, w, a: op.Mul(w, op.Gather(vector(op, a), [0], axis=0)),
    },
    "magnitudes of alpha before": {
        "weight": lambda op, w, a: op.Mul(w, column(op, op.Abs(a))),
        "bias": lambda op, b, a: op.Mul(b, vector(op, op.Abs(a))),
    },
    "alpha over the taps of the kernel": {
        "weight": lambda op, w, a: op.Mul(w, op.Slice(op.Reshape(a, [1, 1, -1]), [0], [3], [2])),
    },
    "alpha after, not 1/alpha": {"out": lambda op, w, a: op.Mul(w, a)},
    "1/alpha forgotten": {"out": lambda _op, w, _a: w},
    "1/alpha squared": {"out": lambda op, w, a: op.Div(w, square(op, a))},
    "1/alpha into the output channels": {
        "out": lambda op, w, a: op.Div(w, op.Slice(column(op, a), [0], [3], [0])),
    },
    "1/alpha of the channels reversed": {
        "out": lambda op, w, a: op.Div(w, op.Gather(a, np.arange(4)[::-1].copy(), axis=1)),
    },
    "magnitudes of alpha after": {"out": lambda op, w, a: op.Div(w, op.Abs(a))},
    "1/alpha into the bias as well": {
        "out_bias": lambda op, b, a: op.Div(b, op.Slice(vector(op, a), [0], [3], [0])),
    },
    "no bias after": {"out_bias": lambda op, b, _a: op.Mul(b, 0.0)},
    "strides exchanged": {"strides": lambda first, second: (second, first)},
    "strides and dilations of 1": {"strides": lambda _first, _second: ([1], [1])},
    "alpha still in the Snake": {"wave": lambda op, x, a: vamp(op).Snake(x, a)},
}

for mistake, parts in WEIGHTS.items():

    @wrong(FoldSnakeScales, mistake)
    def _after(
        op, x, weight, bias, strides, dilations, pads, alpha,
        out_weight, out_bias, out_strides, out_dilations, out_pads, parts=parts,
    ):  # fmt: skip
        w = parts.get("weight", lambda op, w, a: op.Mul(w, column(op, a)))(op, weight, alpha)
        b = parts.get("bias", lambda op, b, a: op.Mul(b, vector(op, a)))(op, bias, alpha)
        first, second = parts.get("strides", lambda *both: both)(strides, out_strides)
        inner = op.Conv(x, w, b, strides=first, dilations=dilations, pads=pads)
        waves = parts.get("wave", lambda op, x, _a: vamp(op).UnitSnake(x))(op, inner, alpha)
        w = parts.get("out", lambda op, w, a: op.Div(w, a))(op, out_weight, alpha)
        b = parts.get("out_bias", lambda _op, b, _a: b)(op, out_bias, alpha)
        return op.Conv(waves, w, b, strides=second, dilations=out_dilations, pads=out_pads)


for mistake in (
    "alpha after, not 1/alpha",
    "1/alpha forgotten",
    "1/alpha squared",
    "1/alpha into the output channels",
    "1/alpha of the channels reversed",
    "magnitudes of alpha after",
    "1/alpha into the bias as well",
    "no bias after",
    "alpha still in the Snake",
):

    @wrong(FoldSnakeOutputScale, mistake)
    def _after(op, x, alpha, weight, bias, strides, dilations, pads, parts=WEIGHTS[mistake]):
        scaled = op.Mul(x, alpha)
        waves = parts.get("wave", lambda op, x, _a: vamp(op).UnitSnake(x))(op, scaled, alpha)
        w = parts.get("out", lambda op, w, a: op.Div(w, a))(op, weight, alpha)
        b = parts.get("out_bias", lambda _op, b, _a: b)(op, bias, alpha)
        return op.Conv(waves, w, b, strides=strides, dilations=dilations, pads=pads)


@wrong(FoldSnakeOutputScale, "x not scaled")
def _after(op, x, alpha, weight, bias, strides, dilations, pads):
    waves = vamp(op).UnitSnake(x)
    return op.Conv(waves, op.Div(weight, alpha), bias, strides=strides, dilations=dilations, pads=pads)


@wrong(FoldSnakeOutputScale, "x divided by alpha")
def _after(op, x, alpha, weight, bias, strides, dilations, pads):
    waves = vamp(op).UnitSnake(op.Div(x, alpha))
    return op.Conv(waves, op.Div(weight, alpha), bias, strides=strides, dilations=dilations, pads=pads)


@wrong(FoldSnakeOutputScale, "padded on the left alone")
def _after(op, x, alpha, weight, bias, strides, dilations, pads):
    waves, before = vamp(op).UnitSnake(op.Mul(x, alpha)), [sum(pads), 0]
    return op.Conv(waves, op.Div(weight, alpha), bias, strides=strides, dilations=dilations, pads=before)


@wrong(FoldSnakeOutputScale, "no strides")
def _after(op, x, alpha, weight, bias, dilations, pads):
    waves = vamp(op).UnitSnake(op.Mul(x, alpha))
    return op.Conv(waves, op.Div(weight, alpha), bias, dilations=dilations, pads=pads)


@wrong(FoldSnakeOutputScale, "no dilations")
def _after(op, x, alpha, weight, bias, strides, pads):
    waves = vamp(op).UnitSnake(op.Mul(x, alpha))
    return op.Conv(waves, op.Div(weight, alpha), bias, strides=strides, pads=pads)


def guards(is_far, *, constant=True):
    """The guards with another test for alphas near zero."""

    def require(m):
        alpha = m.constant("alpha")
        if constant:
            yield alpha is not None, "alpha is not a constant"
        yield alpha is None or bool(is_far(alpha)), "an alpha is too near to zero to divide by"

    return require


for rule in (FoldSnakeScales, FoldSnakeOutputScale):
    also(rule, "unguarded", require=unguarded)
    also(rule, "small alphas allowed", require=guards(lambda _alpha: True))
    also(rule, "only zero refused", require=guards(lambda alpha: (alpha != 0).all()))
    also(rule, "one large alpha is enough", require=guards(lambda a: (np.abs(a) >= SMALLEST_ALPHA).any()))
    also(rule, "the mean decides", require=guards(lambda a: np.abs(a).mean() >= SMALLEST_ALPHA))
    also(rule, "negative alphas refused", require=guards(lambda a: (a >= SMALLEST_ALPHA).all()))
    also(rule, "guarded too loosely", require=guards(lambda a: (np.abs(a) >= SMALLEST_ALPHA / 2).all()))
    also(rule, "guarded too strictly", require=guards(lambda a: (np.abs(a) >= SMALLEST_ALPHA * 2).all()))
    also(
        rule,
        "an alpha that is computed",
        require=guards(lambda a: (np.abs(a) >= SMALLEST_ALPHA).all(), constant=False),
    )


def snake(op, x, alpha, *, eps=1e-9, wave=square, inside=None, scale=None):
    """The lowering with one part exchanged."""
    found = wave(op, op.Sin((inside or op.Mul)(x, alpha)))
    scale = scale or (lambda op, a, eps: op.Div(1.0, op.Add(a, eps)))
    return op.Add(x, op.Mul(found, scale(op, alpha, eps)))


for mistake, parts in {
    "no eps": {"scale": lambda op, a, _eps: op.Div(1.0, a)},
    "eps of 1e-8": {"eps": 1e-8},
    "eps of 1e-5": {"eps": 1e-5},
    "eps under the fraction": {"scale": lambda op, a, eps: op.Add(op.Div(1.0, a), eps)},
    "eps as a floor": {"scale": lambda op, a, eps: op.Div(1.0, op.Max(a, eps))},
    "alpha forgotten": {"scale": lambda _op, _a, _eps: 1.0},
    "times alpha": {"scale": lambda op, a, eps: op.Add(a, eps)},
    "alpha squared": {"scale": lambda op, a, eps: op.Div(1.0, square(op, op.Add(a, eps)))},
    "magnitude of alpha": {"scale": lambda op, a, eps: op.Div(1.0, op.Add(op.Abs(a), eps))},
    "sin, not its square": {"wave": lambda _op, s: s},
    "magnitude of sin": {"wave": lambda op, s: op.Abs(s)},
    "cube of sin": {"wave": lambda op, s: op.Mul(s, square(op, s))},
    "cos squared": {"wave": lambda op, s: op.Sub(1.0, square(op, s))},
}.items():

    @wrong(LowerSnake, mistake)
    def _after(op, x, alpha, parts=parts):
        return snake(op, x, alpha, **parts)


@wrong(LowerSnake, "alpha outside of the sine")
def _after(op, x, alpha):
    return snake(op, x, alpha, inside=lambda x, _a: x)


@wrong(LowerSnake, "x over alpha")
def _after(op, x, alpha):
    return snake(op, x, alpha, inside=lambda x, a: op.Div(x, op.Add(a, 1e-9)))


@wrong(LowerSnake, "x left out")
def _after(op, x, alpha):
    return op.Sub(snake(op, x, alpha), x)


@wrong(LowerSnake, "subtracted")
def _after(op, x, alpha):
    return op.Sub(op.Mul(x, 2.0), snake(op, x, alpha))


@wrong(LowerSnake, "alpha of the first channel")
def _after(op, x, alpha):
    return snake(op, x, op.Gather(alpha, [0], axis=1))


@wrong(LowerUnitSnake, "sin, not its square")
def _after(op, x):
    return op.Add(x, op.Sin(x))


@wrong(LowerUnitSnake, "magnitude of sin")
def _after(op, x):
    return op.Add(x, op.Abs(op.Sin(x)))


@wrong(LowerUnitSnake, "cos squared")
def _after(op, x):
    return op.Add(x, square(op, op.Cos(x)))


@wrong(LowerUnitSnake, "sin of the square")
def _after(op, x):
    return op.Add(x, op.Sin(square(op, x)))


@wrong(LowerUnitSnake, "half of it, as in the identity with the cosine")
def _after(op, x):
    return op.Add(x, op.Mul(op.Sub(1.0, op.Cos(op.Mul(x, 2.0))), 0.25))


@wrong(LowerUnitSnake, "x left out")
def _after(op, x):
    return square(op, op.Sin(x))


@wrong(LowerUnitSnake, "its series for small x")
def _after(op, x):
    return op.Add(x, square(op, op.Sub(x, op.Div(op.Mul(x, square(op, x)), 6.0))))
