"""The stack of pre-norm layers between embedding and classifier."""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor, nn

from vampconv.reference.attention import FlashAttention, RelativeAttention
from vampconv.reference.layers import FeedForward, FiLM, RMSNorm

if TYPE_CHECKING:
    from vampconv.reference.config import VampNetConfig


class TransformerLayer(nn.Module):
    """x += attention(film_1(norm_1(x))); x += feed_forward(film_3(norm_3(x)))."""

    self_attn: RelativeAttention | FlashAttention

    def __init__(self, config: VampNetConfig, *, first: bool, adapted: bool) -> None:
        super().__init__()
        dim = config.embedding_dim
        self.norm_1 = RMSNorm(dim)
        self.film_1 = FiLM(config.r_cond_dim, dim)
        if config.flash_attn:
            self.self_attn = FlashAttention(dim, config.n_heads)
        else:
            self.self_attn = RelativeAttention(dim, config.n_heads, owns_bias=first, adapted=adapted)
        self.norm_3 = RMSNorm(dim)
        self.film_3 = FiLM(config.r_cond_dim, dim)
        self.feed_forward = FeedForward(dim, adapted=adapted)
        self.dropout = nn.Identity()

    def forward(
        self, x: Tensor, condition: Tensor | None, bias: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Transform `x` [batch, time, dim]; passes on the position bias [query, key, head]."""
        y: Tensor
        y, bias = self.self_attn(_modulate(self.film_1, self.norm_1(x), condition), bias)
        x = x + self.dropout(y)
        y = self.feed_forward(_modulate(self.film_3, self.norm_3(x), condition))
        return x + self.dropout(y), bias


class TransformerStack(nn.Module):
    """Layers, all adding the position bias that the first one computed, and a final norm."""

    def __init__(self, config: VampNetConfig, *, adapted: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TransformerLayer(config, first=i == 0, adapted=adapted) for i in range(config.n_layers)
        )
        self.norm = RMSNorm(config.embedding_dim)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """[batch, time, dim] -> [batch, time, dim]."""
        bias: Tensor | None = None
        for layer in self.layers:
            x, bias = layer(x, condition, bias)
        normed: Tensor = self.norm(x)
        return normed


def _modulate(film: FiLM, x: Tensor, condition: Tensor | None) -> Tensor:
    modulated: Tensor = film(x.transpose(1, 2), condition)
    return modulated.transpose(1, 2)
