"""ONNX operators on integers of 8 bits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor


def dynamic_quantize_linear(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Numbers as 255 steps of one size from their least, or zero, to their largest; of zeros alone the size is 1."""
    low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
    step = (high - low) / 255
    step = torch.where(step == 0, torch.ones_like(step), step)
    zero = (-low / step).round().clamp(0, 255)
    return ((x / step).round() + zero).clamp(0, 255).to(torch.uint8), step, zero.to(torch.uint8)


def matmul_integer(
    a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    """The product of what is left of the zero points; it is exact in float64."""
    left = a.double() - (0 if a_zero is None else a_zero.double())
    right = b.double() - (0 if b_zero is None else b_zero.double())
    return (left @ right).to(torch.int32)


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": matmul_integer,
}
