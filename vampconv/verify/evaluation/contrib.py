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


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "FastGelu": fast_gelu,
    "MultiHeadAttention": multi_head_attention,
}
