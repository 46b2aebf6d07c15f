"""ONNX operators that are whole layers: normalisations and attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

EPSILON = 9.999999747378752e-06
"""ONNX's default, in float32."""


def batch_normalization(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor,
    *, epsilon: float = EPSILON, momentum: float = 0.9, training_mode: int = 0,  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """``(x − mean) / sqrt(variance + epsilon) · scale + bias``, per channel (axis 1).

    Raises
    ------
    ValueError
        In training mode.

    """
    if training_mode:
        raise ValueError("BatchNormalization is evaluated at inference only")
    scale, bias, mean, variance = (v.reshape(-1, *[1] * (x.ndim - 2)) for v in (scale, bias, mean, variance))
    return (x - mean) / torch.sqrt(variance + epsilon) * scale + bias


def layer_normalization(
    x: Tensor, scale: Tensor, bias: Tensor | None = None,
    *, axis: int = -1, epsilon: float = EPSILON, stash_type: int = 1,  # noqa: ARG001
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Input standardised over the axes from `axis` on; the mean; one over the standard deviation."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    mean = x.mean(axes, keepdim=True)
    rest = x - mean
    inverse = torch.rsqrt(rest.square().mean(axes, keepdim=True) + epsilon)
    y = rest * inverse * scale
    return y if bias is None else y + bias, mean, inverse


def rms_normalization(
    x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = EPSILON, stash_type: int = 1  # noqa: ARG001
) -> Tensor:  # fmt: skip
    """``x / sqrt(mean(x²) + epsilon) · scale`` over the axes from `axis` on."""
    axes = tuple(range(axis % x.ndim, x.ndim))
    return x / torch.sqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale


def attention(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    mask: Tensor | None = None,
    *,
    q_num_heads: int | None = None,
    kv_num_heads: int | None = None,
    scale: float | None = None,
    is_causal: int = 0,
    softcap: float = 0.0,
) -> Tensor:
    """``softmax(scale · q·kᵀ + mask) · v``, head by head, of [batch, heads, time, width] or [batch, time, dim].

    Each head of k and v serves ``q_num_heads / kv_num_heads`` of q. A query that may see nothing gives zeros.
    """
    flat = q.ndim == 3
    if flat:
        assert q_num_heads
        assert kv_num_heads
        q, k, v = _by_head(q, q_num_heads), _by_head(k, kv_num_heads), _by_head(v, kv_num_heads)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], 1) for x in (k, v))
    root = math.sqrt(1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    scores = (q * root) @ (k * root).transpose(-1, -2)
    if softcap > 0:
        scores = softcap * torch.tanh(scores / softcap)
    bias = _bias(mask, scores, causal=bool(is_causal))
    weights = torch.softmax(scores + bias, -1)
    blind = torch.isneginf(bias).all(-1, keepdim=True)
    mixed = torch.where(blind, 0.0, weights) @ v
    return mixed.transpose(1, 2).flatten(2) if flat else mixed


def _by_head(x: Tensor, heads: int) -> Tensor:
    return x.reshape(*x.shape[:2], heads, -1).transpose(1, 2)


def _bias(mask: Tensor | None, scores: Tensor, *, causal: bool) -> Tensor:
    """What is added to the scores: the mask, −∞ where it is false or ends before the keys or the future begins."""
    queries, keys = scores.shape[-2:]
    bias = scores.new_zeros(queries, keys)
    if causal:
        future = torch.ones(queries, keys, dtype=torch.bool).triu(1)
        bias = bias.masked_fill(future, -math.inf)
    if mask is None:
        return bias
    added = torch.where(mask, 0.0, -math.inf).to(scores.dtype) if mask.dtype == torch.bool else mask
    return bias + torch.nn.functional.pad(added, (0, keys - added.shape[-1]), value=-math.inf)


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Attention": attention,
    "BatchNormalization": batch_normalization,
    "LayerNormalization": layer_normalization,
    "RMSNormalization": rms_normalization,
}
