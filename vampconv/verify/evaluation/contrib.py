"""Operators that ONNX Runtime adds to the standard, as rules of the target ``ort`` use them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

DOMAIN = "com.microsoft"


def fast_gelu(x: Tensor) -> Tensor:
    """The tanh form of GELU."""
    return functional.gelu(x, approximate="tanh")


def multi_head_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    bias: None = None,
    padding: None = None,
    scores_bias: Tensor | None = None,
    *,
    num_heads: int,
) -> Tensor:
    """``softmax(q·kᵀ / sqrt(d) + scores_bias) · v`` of each head, of [batch, time, features]."""
    if bias is not None or padding is not None:
        raise ValueError("only a bias on the scores is known")
    batch, time, width = query.shape
    q, k, v = (
        x.reshape(batch, -1, num_heads, x.shape[-1] // num_heads).transpose(1, 2) for x in (query, key, value)
    )
    scores = q @ k.transpose(-1, -2) / math.sqrt(width // num_heads)
    weights = torch.softmax(scores if scores_bias is None else scores + scores_bias, -1)
    return (weights @ v).transpose(1, 2).reshape(batch, time, -1)


def matmul_n_bits(
    a: Tensor,
    packed: Tensor,
    scales: Tensor,
    *,
    K: int,
    N: int,
    bits: int,
    block_size: int,
    accuracy_level: int = 0,  # noqa: ARG001 - of the runtime's own arithmetic
) -> Tensor:
    """``a · weight`` of a weight in 4 bits, two in a byte, the first in the lower half; 8 stands for zero."""
    if bits != 4:
        raise ValueError(f"{bits} bits are not known")
    halves = torch.stack([packed & 15, packed >> 4], -1).reshape(N, -1, block_size)
    columns = (halves.to(a.dtype) - 8) * scales.reshape(N, -1, 1)
    return a @ columns.reshape(N, -1)[:, :K].T


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "FastGelu": fast_gelu,
    "MatMulNBits": matmul_n_bits,
    "MultiHeadAttention": multi_head_attention,
}
