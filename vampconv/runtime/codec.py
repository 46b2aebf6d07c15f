"""Audio to codes and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.bundle import Bundle
from vampconv.runtime.checks import check_audio, check_codes
from vampconv.runtime.chunked import ChunkedModel
from vampconv.runtime.streamed import streamed

SECONDS_AT_ONCE = 10.4
"""Audio that is in work at a time, in all workers together."""


class Codec:
    """LAC, as two models that run in chunks of any length of audio.

    A model is loaded when it is first used.

    Parameters
    ----------
    encoder, decoder
        The ONNX files.
    architecture
        Sizes as in the manifest: `hop`, `min_samples`, `n_codebooks`, `codebook_size`, `sample_rate`.
    workers
        Chunks that run at once; as many as there are processors, by default.
    seconds
        Audio that all workers together have in work at a time; memory follows from it.
    chunk_seconds
        The longest chunk, without its context; by default chosen from `seconds`.

    """

    def __init__(
        self,
        encoder: Path,
        decoder: Path,
        architecture: Mapping[str, Any],
        *,
        workers: int | None = None,
        seconds: float = SECONDS_AT_ONCE,
        chunk_seconds: float | None = None,
    ) -> None:
        self.paths = {"encoder": Path(encoder), "decoder": Path(decoder)}
        self.workers, self.seconds, self.chunk_seconds = workers, seconds, chunk_seconds
        self.hop: int = architecture["hop"]
        self.min_samples: int = architecture["min_samples"]
        self.n_codebooks: int = architecture["n_codebooks"]
        self.codebook_size: int = architecture["codebook_size"]
        self.sample_rate: int = architecture["sample_rate"]

    @classmethod
    def of_bundle(cls, directory: Path | str, **options: Any) -> Codec:
        """The codec of a bundle; `options` as for the class.

        Raises
        ------
        InputOutputError
            If the directory is not a bundle, or one without a codec.

        """
        bundle = Bundle(directory)
        return cls(bundle.path("encoder"), bundle.path("decoder"), bundle.architecture("encoder"), **options)

    @cached_property
    def encoder(self) -> ChunkedModel:
        """``audio`` -> ``codes``."""
        return self._model("encoder", self.sample_rate)

    @cached_property
    def decoder(self) -> ChunkedModel:
        """``codes`` -> ``audio``."""
        return self._model("decoder", self.sample_rate / self.hop)

    def encode(self, audio: NDArray[np.float32]) -> NDArray[np.int64]:
        """Codes int64 [batch, n_codebooks, time] of audio float32 [batch, 1, samples].

        Raises
        ------
        BadInputError
            If the audio is of another type or shape, too short, or not finite.

        """
        check_audio(audio, self.min_samples)
        return self.encoder(audio)

    def decode(self, codes: NDArray[np.int64]) -> NDArray[np.float32]:
        """Audio float32 [batch, 1, samples] of codes int64 [batch, n, time], those of the first n codebooks.

        A mask token, `codebook_size`, counts as code 0.

        Raises
        ------
        BadInputError
            If the codes are of another type or shape, of too many codebooks, or out of range.

        """
        check_codes(codes, self.n_codebooks, self.codebook_size)
        return self.decoder(codes)

    def encode_stream(self, pieces: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.int64]]:
        """Stretches of the codes of audio that comes in pieces float32 [batch, 1, samples], each when it is made."""
        return streamed(self.encoder, map(_checked, pieces))

    def decode_stream(self, pieces: Iterable[NDArray[np.int64]]) -> Iterator[NDArray[np.float32]]:
        """Stretches of the audio of codes that come in pieces int64 [batch, n, time], each when it is made."""
        return streamed(self.decoder, map(self._checked_codes, pieces))

    def release(self) -> None:
        """Let go of the models; they are loaded again when they are used."""
        for name in self.paths:
            self.__dict__.pop(name, None)

    def _checked_codes(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        check_codes(codes, self.n_codebooks, self.codebook_size)
        return codes

    def _model(self, part: str, per_second: float) -> ChunkedModel:
        longest = None if self.chunk_seconds is None else max(1, int(self.chunk_seconds * per_second))
        budget = max(1, int(self.seconds * per_second))
        return ChunkedModel(self.paths[part], budget=budget, workers=self.workers, longest=longest)


def _checked(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    check_audio(audio)
    return audio
