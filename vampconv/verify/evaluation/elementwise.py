"""ONNX operators that go element by element, with broadcasting."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

LEAK = 0.009999999776482582
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875
"""ONNX's defaults, which like all its attributes are float32 numbers."""


def divide(x: Tensor, y: Tensor) -> Tensor:
    """The quotient; of integers, rounded towards zero."""
    return torch.div(x, y) if x.is_floating_point() else torch.div(x, y, rounding_mode="trunc")


def modulo(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    """The remainder, with the sign of the divisor, or with `fmod` that of the dividend.

    Raises
    ------
    ValueError
        For floats without `fmod`, which ONNX does not define.

    """
    if fmod:
        return torch.fmod(x, y)
    if x.is_floating_point():
        raise ValueError("Mod of floats needs fmod=1")
    return torch.remainder(x, y)


def power(base: Tensor, exponent: Tensor) -> Tensor:
    """The power, in the type of the base."""
    return torch.pow(base, exponent).to(base.dtype)


def clip(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    """Within the bounds that there are; `high` where they cross."""
    return x if low is None and high is None else torch.clamp(x, low, high)


def variadic(function: Callable[[Tensor, Tensor], Tensor], *values: Tensor) -> Tensor:
    return reduce(function, values)


def mean(*values: Tensor) -> Tensor:
    return variadic(torch.add, *values) / len(values)


def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition, x, y)


def is_infinite(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    positive = torch.isposinf(x) & bool(detect_positive)
    return positive | (torch.isneginf(x) & bool(detect_negative))


def gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    return functional.gelu(x, approximate=approximate)


def leaky_relu(x: Tensor, *, alpha: float = LEAK) -> Tensor:
    return torch.where(x < 0, alpha * x, x)


def parametric_relu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x < 0, slope * x, x)


def elu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(x < 0, alpha * torch.expm1(x), x)


def selu(x: Tensor, *, alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA) -> Tensor:
    return gamma * elu(x, alpha=alpha)


def softplus(x: Tensor) -> Tensor:
    return torch.logaddexp(x, torch.zeros_like(x))


def identity(x: Tensor) -> Tensor:
    return x


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Abs": torch.abs,
    "Add": torch.add,
    "And": torch.logical_and,
    "Atan": torch.atan,
    "Ceil": torch.ceil,
    "Clip": clip,
    "Cos": torch.cos,
    "Div": divide,
    "Elu": elu,
    "Equal": torch.eq,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "Gelu": gelu,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Identity": identity,
    "IsInf": is_infinite,
    "IsNaN": torch.isnan,
    "LeakyRelu": leaky_relu,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Log": torch.log,
    "Max": partial(variadic, torch.maximum),
    "Mean": mean,
    "Min": partial(variadic, torch.minimum),
    "Mod": modulo,
    "Mul": torch.mul,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Or": torch.logical_or,
    "PRelu": parametric_relu,
    "Pow": power,
    "Reciprocal": torch.reciprocal,
    "Relu": torch.relu,
    "Round": torch.round,
    "Selu": selu,
    "Sigmoid": torch.sigmoid,
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Softplus": softplus,
    "Sqrt": torch.sqrt,
    "Sub": torch.sub,
    "Sum": partial(variadic, torch.add),
    "Tan": torch.tan,
    "Tanh": torch.tanh,
    "Where": where,
    "Xor": torch.logical_xor,
}
