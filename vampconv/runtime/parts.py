"""The parts of a bundle, each checked and loaded when it is first used."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

from vampconv.runtime.beats import WaveBeat
from vampconv.runtime.belonging import check_files, check_tables
from vampconv.runtime.bundle import Bundle
from vampconv.runtime.codec import Codec
from vampconv.runtime.sampling.noise import Part
from vampconv.runtime.transformer import Transformer

WITH_TABLES = ("encoder", "decoder", "coarse", "c2f")
"""Parts that were made with a codec's tables."""


class Parts:
    """What a bundle holds.

    Parameters
    ----------
    directory
        The bundle.
    threads
        Of each model; as many as there are processors, by default.
    check_hashes
        Whether to compare the files with the hashes of the manifest.

    Raises
    ------
    InputOutputError
        If the directory is not a bundle, or its parts were made with different codecs; where a part is asked for,
        if it is missing, or not the one that the bundle was written with.

    """

    def __init__(self, directory: Path | str, threads: int | None, *, check_hashes: bool) -> None:
        self.bundle = Bundle(directory)
        self.threads, self.check_hashes = threads, check_hashes
        check_tables(self.bundle, [part for part in WITH_TABLES if part in self.bundle])

    @cached_property
    def codec(self) -> Codec:
        """The encoder and the decoder."""
        encoder, decoder = self._path("encoder"), self._path("decoder")
        return Codec(encoder, decoder, self.bundle.architecture("encoder"), workers=self.threads)

    @cached_property
    def coarse(self) -> Transformer:
        """The model of the first codebooks."""
        return self._transformer("coarse")

    @cached_property
    def c2f(self) -> Transformer:
        """The model of the other codebooks."""
        return self._transformer("c2f")

    @cached_property
    def beat_tracker(self) -> WaveBeat:
        """The beat tracker."""
        path = self._path("wavebeat")
        return WaveBeat(path, self.bundle.architecture("wavebeat"), workers=self.threads)

    def _transformer(self, part: Part) -> Transformer:
        return Transformer(self._path(part), self.bundle.architecture(part), self.threads)

    def _path(self, part: str) -> Path:
        """The file of a part, after a look at its hashes."""
        path = self.bundle.path(part)
        if self.check_hashes:
            check_files(self.bundle, part)
        self.bundle.check_model(part)
        return path
