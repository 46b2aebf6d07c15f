"""WaveBeat's network, state-dict compatible with the original (hugofloresgarcia/wavebeat)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.reference.loading import load_strictly, without_prefix

ACTIVATIONS = ("PReLU", "ReLU", "SELU", "ELU")
_COUNTER = "num_batches_tracked"
_MEND = "check the checkpoint's hyper_parameters"


@dataclass(frozen=True)
class WaveBeatConfig:
    """Architecture of a WaveBeat; the defaults are those of the original's constructor.

    Block n has dilation `dilation_growth ** (n % stack_size)`; the first puts out `channel_width` channels, each
    later one `channel_growth` more than the one before. Any `norm_type` but BatchNorm means none.
    """

    ninputs: int = 1
    noutputs: int = 2
    nblocks: int = 10
    kernel_size: int = 3
    stride: int = 2
    dilation_growth: int = 8
    channel_growth: int = 1
    channel_width: int = 32
    stack_size: int = 4
    norm_type: str | None = "BatchNorm"
    act_type: str = "PReLU"

    @property
    def channels(self) -> list[int]:
        """Channels in, and after each block."""
        grown = [self.channel_width + n * self.channel_growth for n in range(self.nblocks)]
        return [self.ninputs, *grown]

    def dilation(self, block: int) -> int:
        return self.dilation_growth ** (block % self.stack_size)

    @classmethod
    def from_hyper_parameters(cls, hyper: Mapping[str, Any]) -> WaveBeatConfig:
        """Read `hyper_parameters` of a Lightning checkpoint; those without bearing on inference are ignored.

        Raises
        ------
        BadInputError
            A size is not an integer, or is too small.
        UnsupportedModelError
            The original itself cannot run this model.

        """
        config = cls(**{name: hyper[name] for name in cls.__dataclass_fields__ if name in hyper})
        for name, value in asdict(config).items():
            least = 0 if name == "channel_growth" else 1
            if name not in ("norm_type", "act_type") and (type(value) is not int or value < least):
                raise BadInputError(f"{name} is {value!r}, not an integer from {least}", _MEND)
        if config.act_type not in ACTIVATIONS:
            known = ", ".join(ACTIVATIONS)
            raise UnsupportedModelError(f"act_type is {config.act_type!r}", f"only {known} run")
        return config

    def to_hyper_parameters(self) -> dict[str, Any]:
        """The hyperparameters as the original saves them, as far as they bear on the network."""
        return asdict(self) | {"grouped": False, "causal": False, "skip_connections": False}


class Block(nn.Module):
    """Strided dilated convolution, norm and activation, plus a strided 1x1 convolution with a norm of its own.

    With an odd kernel or an even dilation, time goes to ceil(time / stride). Otherwise the two paths may differ
    in length, and then the original raises, as this does.
    """

    def __init__(self, config: WaveBeatConfig, block: int) -> None:
        super().__init__()
        channels_in, channels_out = config.channels[block : block + 2]
        kernel, stride, dilation = config.kernel_size, config.stride, config.dilation(block)
        padding = (kernel - 1) * dilation // 2
        normed = config.norm_type == "BatchNorm"
        self.conv1 = nn.Conv1d(channels_in, channels_out, kernel, stride, padding, dilation)
        self.act1 = _activation(config.act_type, channels_out)
        self.norm1 = nn.BatchNorm1d(channels_out) if normed else None
        self.res_norm = nn.BatchNorm1d(channels_out) if normed else None
        self.res_conv = nn.Conv1d(channels_in, channels_out, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        y, residual = self.conv1(x), self.res_conv(x)
        if self.norm1 is not None and self.res_norm is not None:
            y, residual = self.norm1(y), self.res_norm(residual)
        activated: Tensor = self.act1(y)
        return activated + residual


class WaveBeatReference(nn.Module):
    """A WaveBeat for inference; build one with `from_checkpoint`."""

    def __init__(self, config: WaveBeatConfig) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config, n) for n in range(config.nblocks))
        self.output = nn.Conv1d(config.channels[-1], config.noutputs, 1)
        self.train(False)

    @classmethod
    def from_checkpoint(
        cls,
        state: Mapping[str, Tensor],
        hyper_parameters: Mapping[str, Any],
        dtype: torch.dtype = torch.float32,
    ) -> WaveBeatReference:
        """Build the model of a Lightning checkpoint, in evaluation mode and without gradients.

        Parameters
        ----------
        state
            The checkpoint's `state_dict`; BatchNorm's `num_batches_tracked` may be there or not.
        hyper_parameters
            The checkpoint's `hyper_parameters`.
        dtype
            What to compute in.

        Raises
        ------
        BadInputError
            A tensor is missing, unexpected or of the wrong shape, or a size is impossible.
        UnsupportedModelError
            The original could not run this model.

        """
        with torch.device("meta"):
            model = cls(WaveBeatConfig.from_hyper_parameters(hyper_parameters))
        counters = [name for name in model.state_dict() if name.endswith(_COUNTER)]
        tensors = dict.fromkeys(counters, torch.zeros((), dtype=torch.int64)) | without_prefix(state)
        load_strictly(model, {n: t if n in counters else t.to(dtype) for n, t in tensors.items()})
        return model.requires_grad_(False)

    def forward(self, audio: Tensor) -> tuple[Tensor, Tensor]:
        """Raw outputs and their sigmoid, each [batch, 2, frames], of `audio` [batch, 1, samples].

        Channel 0 is for beats, channel 1 for downbeats; there is a frame for every started
        `stride ** nblocks` samples.
        """
        x = audio
        for block in self.blocks:
            x = block(x)
        raw: Tensor = self.output(x)
        return raw, torch.sigmoid(raw)


def _activation(name: str, channels: int) -> nn.Module:
    """The activation of that name; PReLU has a slope per channel."""
    return nn.PReLU(channels) if name == "PReLU" else getattr(nn, name)()
