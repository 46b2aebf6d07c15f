"""Beats and downbeats of music."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import find_peaks

from vampconv.errors import BadInputError
from vampconv.runtime.bundle import Bundle
from vampconv.runtime.checks import check_activations, check_audio, check_recording
from vampconv.runtime.chunked import ChunkedModel
from vampconv.runtime.resample import resample
from vampconv.runtime.session import default_workers

SECONDS_AT_ONCE = 240.0
"""Up to here audio runs whole, beyond in chunks of this length, one after another.

The trained model's size takes 5 MB a second, so 1.6 GB at most. It sees almost half a minute to both sides of
a chunk: chunks of this length cost a fifth more time than the whole, and small ones for each worker a half.
"""
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
        Threads that work on a chunk; as many as there are processors, by default.
    seconds
        The longest chunk, apart from what it sees to both sides.

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
        longest = max(1, int(seconds * self.sample_rate))
        threads = workers or default_workers()
        self.model = ChunkedModel(Path(path), budget=longest, workers=1, longest=longest, threads=threads)

    @classmethod
    def of_bundle(cls, directory: Path | str, **options: Any) -> WaveBeat:
        """The beat tracker of a bundle; `options` as for the class."""
        bundle = Bundle(directory)
        return cls(bundle.path("wavebeat"), bundle.architecture("wavebeat"), **options)

    def activations(self, audio: NDArray[np.float32]) -> NDArray[np.float32]:
        """Activations float32 [batch, 2, frames] of audio float32 [batch, 1, samples] at `sample_rate`."""
        check_audio(audio)
        return self.model(audio)

    def find(self, audio: NDArray[np.float32], sample_rate: int | None = None) -> tuple[Seconds, Seconds]:
        """Beats and downbeats in seconds of one recording, at any loudness.

        Audio is resampled to the model's rate, mixed to mono and scaled to a peak of 1, in this order.

        Parameters
        ----------
        audio
            Float32 [1, channels, samples].
        sample_rate
            Of the audio, in Hz; by default that of the model.

        Raises
        ------
        BadInputError
            If the audio is of another type or shape, too short, or not finite, or the rate is none.
        LimitError
            If the rate has next to nothing in common with the model's.

        """
        check_recording(audio)
        rate = self.sample_rate if sample_rate is None else sample_rate
        mono = resample(audio, rate, self.sample_rate).mean(axis=1, keepdims=True)
        if mono.size == 0:
            raise BadInputError(f"the audio has no sample at {self.sample_rate} Hz", "append zeros")
        peak = np.max(np.abs(mono))
        return pick_beats(self.activations(mono / peak if peak > 0 else mono)[0], self.frame_rate)
