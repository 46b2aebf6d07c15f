"""Self-attention in its two forms: T5's with position bias, and flash attention's without."""

from __future__ import annotations

import math
from bisect import bisect_right

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.config import POSITION_BUCKETS
from vampconv.reference.layers import LoRALinear

BUCKET_STARTS = (1, 2, 3, 4, 5, 6, 7, 8, 12, 16, 23, 32, 46, 64, 91)
"""Smallest distance of buckets 1 to 15: T5's bidirectional buckets with maximal distance 128."""

FARTHEST = BUCKET_STARTS[-1]


def relative_position_bucket(offset: int) -> int:
    """Bucket of key position minus query position; keys to the right take the upper half."""
    right = POSITION_BUCKETS // 2 if offset > 0 else 0
    return right + bisect_right(BUCKET_STARTS, abs(offset))


class RelativePositionBias(nn.Module):
    """A learnt bias per bucket of distance and head; `weight` is [32, heads]."""

    bucket_of_offset: Tensor

    def __init__(self, heads: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(POSITION_BUCKETS, heads))
        buckets = [relative_position_bucket(offset) for offset in range(-FARTHEST, FARTHEST + 1)]
        self.register_buffer("bucket_of_offset", torch.tensor(buckets, device="cpu"), persistent=False)

    def forward(self, time: int) -> Tensor:
        """Bias [query, key, head] for sequences of `time` steps."""
        position = torch.arange(time, device=self.bucket_of_offset.device)
        offset = (position[None, :] - position[:, None]).clamp(-FARTHEST, FARTHEST)
        return functional.embedding(self.bucket_of_offset[offset + FARTHEST], self.weight)


class RelativeAttention(nn.Module):
    """Multi-head self-attention, scaled by 1/sqrt(head_dim), to whose scores a position bias is added.

    Parameters
    ----------
    dim, heads
        Width, and number of heads that share it.
    owns_bias
        Whether this layer holds the position bias of the whole stack (the first one does).
    adapted
        Whether queries, values and output carry LoRA pairs; keys never do.

    """

    def __init__(self, dim: int, heads: int, *, owns_bias: bool, adapted: bool) -> None:
        super().__init__()
        self.heads = heads
        self.w_qs = LoRALinear(dim, dim, adapted=adapted)
        self.w_ks = nn.Linear(dim, dim, bias=False)
        self.w_vs = LoRALinear(dim, dim, adapted=adapted)
        self.fc = LoRALinear(dim, dim, adapted=adapted)
        self.dropout = nn.Identity()
        self.relative_attention_bias = RelativePositionBias(heads) if owns_bias else None

    def forward(self, x: Tensor, bias: Tensor | None) -> tuple[Tensor, Tensor]:
        """Attend over `x` [batch, time, dim]; gives the result and the bias [query, key, head] used."""
        if self.relative_attention_bias is not None:
            bias = self.relative_attention_bias(x.shape[1])
        if bias is None:
            raise ValueError("only the first layer has its own position bias; give it to the others")
        q, k, v = (self._split(project(x)) for project in (self.w_qs, self.w_ks, self.w_vs))
        scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]) + bias.permute(2, 0, 1)[:, None]
        weights: Tensor = self.dropout(torch.softmax(scores, dim=-1))
        y: Tensor = self.fc((weights @ v).permute(1, 2, 0, 3).flatten(2))
        return y, bias

    def _split(self, x: Tensor) -> Tensor:
        """[batch, time, dim] -> [head, batch, time, head_dim]."""
        batch, time, dim = x.shape
        return x.reshape(batch, time, self.heads, dim // self.heads).permute(2, 0, 1, 3)


class FlashAttention(nn.Module):
    """flash-attn's `FlashMHA`: one projection ordered (q k v, head, head_dim), no position bias."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.Wqkv = nn.Linear(dim, 3 * dim)
        self.out_proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor, bias: None) -> tuple[Tensor, None]:
        """Attend over `x` [batch, time, dim]; there is no bias to take or to give."""
        batch, time, dim = x.shape
        projected: Tensor = self.Wqkv(x).reshape(batch, time, 3, self.heads, dim // self.heads)
        q, k, v = projected.permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), dim=-1)
        y: Tensor = self.out_proj((weights @ v).transpose(1, 2).flatten(2))
        return y, bias
