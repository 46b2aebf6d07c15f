"""Layers of the LAC codec, named as in the original's state dict."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.layers import WeightNormConv1d

MRF_KERNELS = (3, 7, 11)
MRF_DILATIONS = (1, 3, 5)


class Snake(nn.Module):
    """x + sin²(αx) / (α + 1e-9), with α [1, channels, 1] over [batch, channels, time]."""

    eps = 1e-9

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.empty(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.alpha + self.eps).reciprocal() * torch.sin(self.alpha * x).square()


class _WeightNorm(WeightNormConv1d):
    """Holds `bias`, `weight_g` and `weight_v` of any kernel; torch's own arithmetic repeats the original's bits."""

    def __init__(self, channels_out: int, normed: int, *rest: int) -> None:
        super().__init__(1, channels_out)
        self.weight_g = nn.Parameter(torch.empty(normed, 1, 1))
        self.weight_v = nn.Parameter(torch.empty(normed, *rest))

    def effective_weight(self) -> Tensor:
        return torch._weight_norm(self.weight_v, self.weight_g, 0)


class WeightNormConv(_WeightNorm):
    """Convolution of any kernel, stride and dilation, of weight g v / ‖v‖; `padding` zeros on either side."""

    def __init__(
        self,
        channels_in: int,
        channels_out: int,
        kernel: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        padding: int = 0,
    ) -> None:
        super().__init__(channels_out, channels_out, channels_in, kernel)
        self.stride, self.dilation, self.padding = stride, dilation, padding

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, time] -> [batch, out, (time + 2 padding - dilation (kernel - 1) - 1) // stride + 1]."""
        weight = self.effective_weight()
        return functional.conv1d(x, weight, self.bias, self.stride, self.padding, self.dilation)


class WeightNormConvTranspose(_WeightNorm):
    """Transposed convolution of kernel 2 `stride` and padding `stride` // 2, of weight g v / ‖v‖.

    `weight_v` is [in, out, kernel], and there is one g for each channel that comes **in**.
    """

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__(channels_out, channels_in, channels_out, 2 * stride)
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """[batch, in, time] -> [batch, out, (time + 1) stride - 2 (stride // 2)]."""
        weight = self.effective_weight()
        return functional.conv_transpose1d(x, weight, self.bias, self.stride, self.stride // 2)


def same_conv(channels: int, kernel: int, dilation: int = 1) -> WeightNormConv:
    """A convolution of an odd kernel that keeps channels and time."""
    padding = (kernel - 1) * dilation // 2
    return WeightNormConv(channels, channels, kernel, dilation=dilation, padding=padding)


class EncoderUnit(nn.Module):
    """x + conv1(snake(conv7(snake(x)))), the wider convolution dilated."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels), same_conv(channels, 7, dilation), Snake(channels), same_conv(channels, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.block(x)


class EncoderBlock(nn.Module):
    """Three residual units dilated 1, 3 and 9, then a strided convolution that doubles the channels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            *(EncoderUnit(channels, dilation) for dilation in (1, 3, 9)),
            Snake(channels),
            WeightNormConv(channels, 2 * channels, 2 * stride, stride=stride, padding=stride // 2),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class DecoderUnit(nn.Module):
    """x + conv(snake(conv(snake(x)))), of one kernel size, the first dilated."""

    def __init__(self, channels: int, kernel: int, dilation: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(
            Snake(channels),
            same_conv(channels, kernel, dilation),
            Snake(channels),
            same_conv(channels, kernel),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layer(x)


class DecoderResidual(nn.Module):
    """Residual units of one kernel size, dilated 1, 3 and 5."""

    def __init__(self, channels: int, kernel: int) -> None:
        super().__init__()
        self.block = nn.Sequential(*(DecoderUnit(channels, kernel, dilation) for dilation in MRF_DILATIONS))

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y


class MultiReceptiveField(nn.Module):
    """Mean of three residual branches, of kernel sizes 3, 7 and 11."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mrf_blocks = nn.ModuleList(DecoderResidual(channels, kernel) for kernel in MRF_KERNELS)

    def forward(self, x: Tensor) -> Tensor:
        total = torch.zeros_like(x)
        for branch in self.mrf_blocks:
            total = total + branch(x)
        return total / len(self.mrf_blocks)


class DecoderBlock(nn.Module):
    """Snake, a transposed convolution, then three residual branches averaged."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            Snake(channels_in),
            WeightNormConvTranspose(channels_in, channels_out, stride),
            MultiReceptiveField(channels_out),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.block(x)
        return y
