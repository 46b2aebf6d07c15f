"""Beats and downbeats of music."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from vampconv.runtime.bundle import Bundle
from vampconv.runtime.checks import check_activations, check_audio
from vampconv.runtime.chunked import ChunkedModel

SECONDS_AT_ONCE = 120.0
WORTHWHILE = 2
"""The network sees almost half a minute to both sides, so chunks cannot be many times longer than that."""
THRESHOLD = 0.5
"""Of the greatest activation of a channel: peaks below it are no beats."""
APART = {"beats": 1 / 4, "downbeats": 1 / 2}
"""Seconds between two of a kind, at least."""

Seconds = NDArray[np.float32]


def pick_beats(activations: NDArray[np.float32], frame_rate: float) -> tuple[Seconds, Seconds]:
    """Times of beats and of downbeats in seconds, float32, ascending.

    Parameters
    ----------
    activations
        Float32 [2, frames], of beats and of downbeats.
    frame_rate
        Frames per second.

    Raises
    ------
    BadInputError
        If the activations are of another type or shape, or not finite.

    """
    check_activations(activations)
    beats, downbeats = (
        _peaks(row, frame_rate * apart, frame_rate)
        for row, apart in zip(activations, APART.values(), strict=True)
    )
    return beats, downbeats


def _peaks(row: NDArray[np.float32], distance: float, frame_rate: float) -> Seconds:
    greatest = np.max(np.abs(row), initial=0)
    if greatest == 0:
        return np.empty(0, np.float32)
    found, _ = find_peaks(row / greatest, height=THRESHOLD, distance=max(distance, 1))
    return found.astype(np.float32) / np.float32(frame_rate)


class WaveBeat:
    """A beat tracker.

    Parameters
    ----------
    path
        The ONNX file.
    architecture
        As in the manifest: `sample_rate` of the audio in Hz, `target_sample_rate` of the activations.
    workers
        Chunks that run at once; as many as there are processors, by default.
    seconds
        Audio that all workers together have in work at a time, apart from what each sees to both sides.

    """

    def __init__(
        self,
        path: Path,
        architecture: Mapping[str, Any],
        *,
        workers: int | None = None,
        seconds: float = SECONDS_AT_ONCE,
    ) -> None:
        self.sample_rate: int = architecture["sample_rate"]
        self.frame_rate: float = architecture["target_sample_rate"]
        budget = int(seconds * self.sample_rate)
        self.model = ChunkedModel(Path(path), budget=budget, workers=workers, worthwhile=WORTHWHILE)

    @classmethod
    def of_bundle(cls, directory: Path | str, **options: Any) -> WaveBeat:
        """The beat tracker of a bundle; `options` as for the class."""
        bundle = Bundle(directory)
        return cls(bundle.path("wavebeat"), bundle.architecture("wavebeat"), **options)

    def activations(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activations float32 [batch, 2, frames] of audio float32 [batch, 1, samples] at `sample_rate`."""
        check_audio(audio)
        return self.model(audio)

    def find(self, audio: NDArray[np.float32]) -> tuple[Seconds, Seconds]:
        """Beats and downbeats in seconds of audio float32 [1, 1, samples] at `sample_rate`, at any loudness.

        Raises
        ------
        BadInputError
            If the audio is of another type or shape, or not finite.

        """
        check_audio(audio)
        peak = np.max(np.abs(audio))
        scaled = audio / peak if peak > 0 else audio
        return pick_beats(self.activations(scaled)[0], self.frame_rate)
