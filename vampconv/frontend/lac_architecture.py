"""The sizes of a LAC codec, read from its weights and checked against its metadata."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import prod
from typing import Any

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.codec_tables import TABLE, CodecTables
from vampconv.frontend.convolutions import weight_shape
from vampconv.frontend.weights import Weights

SAMPLE_RATE = 44100
"""In Hz, where the metadata does not say."""


@dataclass(frozen=True)
class LACArchitecture:
    """Sizes of a codec, named as the arguments of the original's constructor; rates are strides."""

    encoder_dim: int
    encoder_rates: Sequence[int]
    decoder_dim: int
    decoder_rates: Sequence[int]
    n_codebooks: int
    codebook_size: int
    codebook_dim: int
    sample_rate: int

    @property
    def hop(self) -> int:
        """Samples that audio is padded to multiples of: the product of the decoder's rates."""
        return prod(self.decoder_rates)

    @property
    def latent_dim(self) -> int:
        """Channels between encoder and quantizer."""
        return self.encoder_dim << len(self.encoder_rates)

    @property
    def min_samples(self) -> int:
        """The shortest audio that the encoder takes: with odd strides a short one leaves no frame."""
        padded = 1
        for stride in reversed(self.encoder_rates):
            padded = (padded + 1) * stride - 2 * (stride // 2)
        return (padded - 1) // self.hop * self.hop + 1

    def frames(self, samples: int) -> int:
        """Frames of padded audio, by the arithmetic of the strided convolutions; 0 if it is too short."""
        for stride in self.encoder_rates:
            samples = (samples + 2 * (stride // 2) - 2 * stride) // stride + 1
            if samples < 1:
                return 0
        return samples

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values, with `hop` and `min_samples`."""
        lists = {"encoder_rates": list(self.encoder_rates), "decoder_rates": list(self.decoder_rates)}
        return {**asdict(self), **lists, "hop": self.hop, "min_samples": self.min_samples}


def read_lac(weights: Weights, metadata: Mapping[str, object]) -> LACArchitecture:
    """Sizes of the codec whose tensors are `weights`.

    Raises
    ------
    BadInputError
        If a tensor that tells a size is missing, or the weights contradict the metadata.
    UnsupportedModelError
        If the codebooks differ in size, or a kernel is not twice its stride.

    """
    kwargs = metadata.get("kwargs")
    given: Mapping[str, Any] = kwargs if isinstance(kwargs, Mapping) else {}
    name, count = weights.checkpoint.path.name, max(CodecTables(weights).count, 1)
    sizes = {weights.shape(TABLE.format(i)) for i in range(count)}
    if len(sizes) != 1:
        raise UnsupportedModelError(
            f"{name}: its codebooks differ in size", "only equal ones can be converted"
        )
    size = sizes.pop()
    if len(size) != 2 or 0 in size:
        raise BadInputError(
            f"{name}: its codebooks are {list(size)}, not matrices",
            "the checkpoint is altered: get the one that was saved",
        )
    vocab, latent = size
    found = LACArchitecture(
        encoder_dim=weight_shape(weights, "encoder.block.0.weight_v")[0],
        encoder_rates=tuple(_rates(weights, r"encoder\.block\.(\d+)\.block\.4\.weight_v")),
        decoder_dim=weight_shape(weights, "decoder.model.0.weight_v")[0],
        decoder_rates=tuple(_rates(weights, r"decoder\.model\.(\d+)\.block\.1\.weight_v")),
        n_codebooks=count,
        codebook_size=vocab,
        codebook_dim=latent,
        sample_rate=given.get("sample_rate", SAMPLE_RATE),
    )
    if not isinstance(found.sample_rate, int) or isinstance(found.sample_rate, bool) or found.sample_rate < 1:
        raise BadInputError(
            f"{name}: the metadata says sample_rate={found.sample_rate!r}", "it must be a number of Hz"
        )
    for key, here in asdict(found).items():
        there = _plain(given.get(key, here))
        if there != _plain(here) and (key != "codebook_dim" or there != [here] * count):
            raise BadInputError(
                f"{name}: the metadata says {key}={given[key]!r}, the weights {here!r}",
                "weights and metadata are not of one model",
            )
    return found


def _plain(value: object) -> object:
    """Integers and lists of them so that they can be compared; anything else as text."""
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value if isinstance(value, int) else repr(value)


def _rates(weights: Weights, pattern: str) -> Iterator[int]:
    """Strides in order of their blocks: half of the kernel size of each strided convolution."""
    blocks = {int(m[1]): name for name in weights.tensors if (m := re.fullmatch(pattern, name))}
    for _, name in sorted(blocks.items()):
        kernel = weight_shape(weights, name)[2]
        if kernel % 2:
            raise UnsupportedModelError(
                f"{weights.checkpoint.path.name}: {name} has a kernel of {kernel}",
                "only kernels of twice the stride can be converted",
            )
        yield kernel // 2
