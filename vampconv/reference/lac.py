"""The LAC codec, state-dict compatible with the original (hugofloresgarcia/lac, commit 7761206)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.lac_config import LACConfig
from vampconv.reference.lac_layers import DecoderBlock, EncoderBlock, Snake, WeightNormConv, same_conv
from vampconv.reference.lac_quantizer import ResidualVectorQuantize
from vampconv.reference.loading import load_strictly, without_prefix


class Encoder(nn.Module):
    """Audio [batch, 1, samples] to z [batch, latent_channels, frames]."""

    def __init__(self, config: LACConfig) -> None:
        super().__init__()
        channels = [config.encoder_dim * 2**i for i in range(len(config.encoder_rates) + 1)]
        self.block = nn.Sequential(
            WeightNormConv(1, config.encoder_dim, 7, padding=3),
            *(EncoderBlock(c, stride) for c, stride in zip(channels, config.encoder_rates, strict=False)),
            Snake(channels[-1]),
            same_conv(channels[-1], 3),
        )

    def forward(self, audio: Tensor) -> Tensor:
        z: Tensor = self.block(audio)
        return z


class Decoder(nn.Module):
    """Quantised z [batch, latent_channels, frames] to audio [batch, 1, samples] within ±1."""

    def __init__(self, config: LACConfig) -> None:
        super().__init__()
        channels = [config.decoder_dim >> i for i in range(len(config.decoder_rates) + 1)]
        blocks = zip(channels, channels[1:], config.decoder_rates, strict=False)
        self.model = nn.Sequential(
            WeightNormConv(config.latent_channels, config.decoder_dim, 7, padding=3),
            *(DecoderBlock(wide, narrow, stride) for wide, narrow, stride in blocks),
            Snake(channels[-1]),
            WeightNormConv(channels[-1], 1, 7, padding=3),
            nn.Tanh(),
        )

    def forward(self, z: Tensor) -> Tensor:
        audio: Tensor = self.model(z)
        return audio


class LACReference(nn.Module):
    """A LAC codec for inference; build one with `from_state_dict`.

    Lengths follow the convolutions' arithmetic, which with odd strides gives neither whole hops of codes nor of
    audio; audio that is too short for a convolution raises torch's RuntimeError, as in the original.
    """

    def __init__(self, config: LACConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.quantizer = ResidualVectorQuantize(
            config.latent_channels, config.codebook_size, config.codebook_dims
        )
        self.decoder = Decoder(config)
        self.train(False)

    @classmethod
    def from_state_dict(
        cls, state: Mapping[str, Tensor], kwargs: Mapping[str, Any], dtype: torch.dtype = torch.float32
    ) -> LACReference:
        """Build the codec of a checkpoint, in evaluation mode and without gradients.

        Parameters
        ----------
        state
            Names to tensors. Those that already have `dtype` are shared.
        kwargs
            The checkpoint's `metadata["kwargs"]`.
        dtype
            What to compute in.

        Raises
        ------
        BadInputError
            A tensor is missing, unexpected or of the wrong shape, or the sizes contradict each other.

        """
        with torch.device("meta"):
            model = cls(LACConfig.from_kwargs(kwargs))
        load_strictly(model, {name: tensor.to(dtype) for name, tensor in without_prefix(state).items()})
        return model.requires_grad_(False)

    def pad(self, audio: Tensor) -> Tensor:
        """Zeros on the right of [batch, 1, samples], up to a multiple of the hop."""
        return functional.pad(audio, (0, -audio.shape[-1] % self.config.hop))

    def encode(self, audio: Tensor) -> dict[str, Tensor]:
        """`z`, `codes`, `latents` and `zq` of `audio` [batch, 1, samples]; see `Quantized` for their shapes."""
        z: Tensor = self.encoder(self.pad(audio))
        quantized = self.quantizer(z)
        return {"z": z, **quantized._asdict()}

    def decode(self, zq: Tensor) -> Tensor:
        """Audio [batch, 1, samples] of quantised `zq` [batch, latent_channels, frames], not cropped."""
        audio: Tensor = self.decoder(zq)
        return audio

    def code_latents(self, codes: Tensor) -> Tensor:
        """Table rows [batch, sum of codebook_dims, frames] of codes int64 [batch, n, frames], what VampNet embeds."""
        return self.quantizer.code_latents(codes)

    def decode_codes(self, codes: Tensor) -> Tensor:
        """Audio [batch, 1, samples] of codes int64 [batch, n, frames], as VampNet decodes them.

        The codes are of the first n codebooks; the mask token, `codebook_size`, counts as code 0.

        Raises
        ------
        ValueError
            There are no codebooks, or more than the codec has.
        IndexError
            A code is neither a row of the codebook nor the mask token.

        """
        if not 1 <= codes.shape[1] <= self.config.n_codebooks:
            raise ValueError(f"the codec has {self.config.n_codebooks} codebooks, the codes {codes.shape[1]}")
        known = codes.masked_fill(codes == self.config.codebook_size, 0)
        return self.decode(self.quantizer.from_codes(known))

    def forward(self, audio: Tensor) -> Tensor:
        """`audio` [batch, 1, samples] encoded and decoded, cropped to its length."""
        decoded = self.decode(self.encode(audio)["zq"])
        return decoded[..., : audio.shape[-1]]
