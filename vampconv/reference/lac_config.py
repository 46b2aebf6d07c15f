"""The constructor arguments that a LAC codec's checkpoint carries, as a checked record."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vampconv.errors import BadInputError


@dataclass(frozen=True)
class LACConfig:
    """Architecture of a LAC codec; the defaults are those of the original's constructor.

    Parameters
    ----------
    encoder_dim
        Channels after the first convolution; each encoder rate doubles them.
    encoder_rates
        Strides of the encoder's blocks.
    decoder_dim
        Channels after the decoder's first convolution; each decoder rate halves them, rounding down.
    decoder_rates
        Strides of the decoder's blocks; their product is the hop.
    codebook_dims
        Width of the rows of each codebook.
    codebook_size
        Rows of each codebook, and the code of the mask token.

    """

    encoder_dim: int = 64
    encoder_rates: tuple[int, ...] = (2, 4, 8, 8)
    decoder_dim: int = 512
    decoder_rates: tuple[int, ...] = (4, 4, 4, 2, 2, 2)
    codebook_dims: tuple[int, ...] = (8,) * 9
    codebook_size: int = 1024
    sample_rate: int = 44100

    @property
    def n_codebooks(self) -> int:
        return len(self.codebook_dims)

    @property
    def latent_channels(self) -> int:
        """Channels that the encoder puts out, that are quantised, and that the decoder takes."""
        return self.encoder_dim * 2 ** len(self.encoder_rates)

    @property
    def hop(self) -> int:
        """What audio is padded to a multiple of: the product of the decoder's rates."""
        return math.prod(self.decoder_rates)

    def frames(self, samples: int) -> int:
        """Codes per codebook of audio of that length; 0 where the original raises on it."""
        time = -(-samples // self.hop) * self.hop
        for stride in self.encoder_rates:
            if time < 1:
                return 0
            time = (time + 2 * (stride // 2) - 2 * stride) // stride + 1
        return max(time, 0)

    def samples(self, frames: int) -> int:
        """Length of the audio decoded from that many codes per codebook."""
        for stride in self.decoder_rates:
            frames = (frames - 1) * stride - 2 * (stride // 2) + 2 * stride
        return frames

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> LACConfig:
        """Read `metadata["kwargs"]` of a checkpoint; arguments without bearing on inference are ignored.

        Raises
        ------
        BadInputError
            A size is not a positive integer, or the sizes contradict each other.

        """
        sizes: dict[str, Any] = {name: _positive(name, kwargs[name]) for name in _NUMBERS if name in kwargs}
        sizes |= {name: _each(name, kwargs[name]) for name in _RATES if name in kwargs}
        n_codebooks = _positive("n_codebooks", kwargs.get("n_codebooks", cls().n_codebooks))
        dims = kwargs.get("codebook_dim", 8)
        widths = (dims,) * n_codebooks if isinstance(dims, int) else _each("codebook_dim", dims)
        if len(widths) < n_codebooks:
            raise BadInputError(f"codebook_dim has {len(widths)} sizes for {n_codebooks} codebooks", _MEND)
        widths = _each("codebook_dim", widths[:n_codebooks])
        config = cls(**sizes, codebook_dims=widths)
        if not config.decoder_rates or config.decoder_dim >> len(config.decoder_rates) < 1:
            rates_text = f"{len(config.decoder_rates)} decoder rates"
            raise BadInputError(f"decoder_dim {config.decoder_dim} does not suit {rates_text}", _MEND)
        return config

    def to_kwargs(self) -> dict[str, Any]:
        """The arguments as the original saves them."""
        sizes: dict[str, Any] = {name: getattr(self, name) for name in _NUMBERS}
        rates = {name: list(getattr(self, name)) for name in _RATES}
        dims = list(self.codebook_dims)
        width = dims[0] if len(set(dims)) == 1 else dims
        return sizes | rates | {"n_codebooks": len(dims), "codebook_dim": width, "quantizer_dropout": False}


_NUMBERS = ("encoder_dim", "decoder_dim", "codebook_size", "sample_rate")
_RATES = ("encoder_rates", "decoder_rates")
_MEND = "check the kwargs in the checkpoint's metadata"


def _positive(name: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise BadInputError(f"{name} is {value!r}, not a positive integer", _MEND)
    return value


def _each(name: str, values: object) -> tuple[int, ...]:
    if not isinstance(values, Sequence) or isinstance(values, str):
        raise BadInputError(f"{name} is {values!r}, not a list of integers", _MEND)
    return tuple(_positive(f"{name}[{i}]", value) for i, value in enumerate(values))
