"""Layers of the transformer that hold weights of one kind each, named as in the original's state dict."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.config import LORA_RANK, LORA_SCALE


class RMSNorm(nn.Module):
    """Divide by the root mean square over the last axis and scale: [..., dim] -> [..., dim] (T5's norm)."""

    eps = 1e-6

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(dim))

    def forward(self, x: Tensor) -> Tensor:
        mean_square = x.square().mean(-1, keepdim=True)
        return self.weight * (x * torch.rsqrt(mean_square + self.eps))


class FiLM(nn.Module):
    """Feature-wise affine modulation; without a condition (dim 0) the identity, and no weights."""

    def __init__(self, condition_dim: int, dim: int) -> None:
        super().__init__()
        self.modulates = condition_dim > 0
        if self.modulates:
            self.beta = nn.Linear(condition_dim, dim)
            self.gamma = nn.Linear(condition_dim, dim)

    def forward(self, x: Tensor, condition: Tensor | None) -> Tensor:
        """Modulate `x` [batch, dim, time] by `condition` [batch, condition_dim]."""
        if not self.modulates:
            return x
        if condition is None:
            raise ValueError("this model is conditioned on r, and none was given")
        shift: Tensor = self.beta(condition)
        gain: Tensor = self.gamma(condition)
        return x * (gain[:, :, None] + 1) + shift[:, :, None]


class LoRALinear(nn.Module):
    """Linear map without bias whose weight may carry a low-rank update: y = x (W + B A / 8)ᵀ.

    Parameters
    ----------
    fan_in, fan_out
        `weight` is [fan_out, fan_in].
    adapted
        Whether the pair `lora_A` [8, fan_in], `lora_B` [fan_out, 8] is there.

    """

    def __init__(self, fan_in: int, fan_out: int, *, adapted: bool) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(fan_out, fan_in))
        down, up = torch.empty(LORA_RANK, fan_in), torch.empty(fan_out, LORA_RANK)
        self.lora_A: nn.Parameter | None = nn.Parameter(down) if adapted else None
        self.lora_B: nn.Parameter | None = nn.Parameter(up) if adapted else None

    def effective_weight(self) -> Tensor:
        if self.lora_A is None or self.lora_B is None:
            return self.weight
        return torch.add(self.weight, self.lora_B @ self.lora_A, alpha=LORA_SCALE)

    def merge(self) -> None:
        """Fold the pair into the weight and drop it."""
        self.weight = nn.Parameter(self.effective_weight().detach(), self.weight.requires_grad)
        self.lora_A = self.lora_B = None

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.effective_weight())


class WeightNormConv1d(nn.Module):
    """1x1 convolution with bias, [batch, in, time] -> [batch, out, time], of weight g v / ‖v‖.

    The norm is over every dimension but the first, as in torch's weight normalisation.
    """

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels_out))
        self.weight_g = nn.Parameter(torch.empty(channels_out, 1, 1))
        self.weight_v = nn.Parameter(torch.empty(channels_out, channels_in, 1))

    def effective_weight(self) -> Tensor:
        norm: Tensor = torch.linalg.vector_norm(self.weight_v, dim=(1, 2), keepdim=True)
        return self.weight_v * (self.weight_g / norm)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = functional.conv1d(x, self.effective_weight(), self.bias)
        return y


class GatedGELU(nn.Module):
    """First half of the last axis times the tanh-GELU of the second half: [..., 2 n] -> [..., n]."""

    def __init__(self) -> None:
        super().__init__()
        self.gelu = nn.GELU(approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        gated: Tensor = self.gelu(gate)
        return value * gated


class FeedForward(nn.Module):
    """Position-wise dim -> 4 dim -> (gate) 2 dim -> dim."""

    def __init__(self, dim: int, *, adapted: bool) -> None:
        super().__init__()
        self.w_1 = LoRALinear(dim, 4 * dim, adapted=adapted)
        self.w_2 = LoRALinear(2 * dim, dim, adapted=adapted)
        self.drop = nn.Identity()
        self.act = GatedGELU()

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.w_2(self.drop(self.act(self.w_1(x))))
        return y
