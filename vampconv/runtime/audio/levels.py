"""What audio is like: loudness, peak, power and silence."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.audio.loudness import LoudnessMeter

SILENT_DB = -60.0
"""Decibels of full scale: a window of that root mean square or less is silent."""
WINDOW_SECONDS = 0.05


class Levels(NamedTuple):
    """Of audio of all channels."""

    seconds: float
    loudness: float
    """LUFS, at least -70."""
    peak_db: float
    """Of the greatest sample, in decibels of full scale; minus infinity for zeros."""
    rms_db: float
    silence: float
    """The share of windows of 0.05 s that are at or below -60 dB."""

    def as_json(self) -> dict[str, Any]:
        """Numbers that JSON knows; None for minus infinity."""
        finite = {name: value if math.isfinite(value) else None for name, value in self._asdict().items()}
        return {name: None if value is None else round(value, 4) for name, value in finite.items()}


class LevelMeter:
    """Measures audio that comes in pieces float32 [channels, samples].

    Parameters
    ----------
    sample_rate
        In Hz.
    channels
        How many there are.

    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.sample_rate, self.channels = sample_rate, channels
        self.meter = LoudnessMeter(sample_rate, channels)
        self.window = max(1, int(WINDOW_SECONDS * sample_rate))
        self.rest = np.empty((channels, 0), np.float32)
        self.samples, self.power, self.peak = 0, 0.0, 0.0
        self.windows, self.silent = 0, 0

    def add(self, audio: NDArray[np.float32]) -> None:
        """Measure more audio."""
        self.meter.add(audio)
        self.samples += audio.shape[-1]
        self.peak = max(self.peak, float(np.max(np.abs(audio), initial=0)))
        self.power += float(np.square(audio, dtype=np.float64).sum())
        joined = np.concatenate((self.rest, audio), axis=-1)
        whole = joined.shape[-1] // self.window * self.window
        self._count(joined[:, :whole].reshape(self.channels, -1, self.window))
        self.rest = joined[:, whole:]

    def levels(self) -> Levels:
        """Of all that was added, which is one sample at least."""
        if self.rest.size:
            self._count(self.rest[:, None])
            self.rest = self.rest[:, :0]
        rms = math.sqrt(self.power / (self.samples * self.channels))
        seconds, silence = self.samples / self.sample_rate, self.silent / self.windows
        return Levels(seconds, self.meter.loudness(), decibels(self.peak), decibels(rms), silence)

    def _count(self, windows: NDArray[np.float32]) -> None:
        rms = np.sqrt(np.square(windows, dtype=np.float64).mean(axis=(0, 2)))
        self.windows += len(rms)
        self.silent += int(np.count_nonzero(rms <= 10 ** (SILENT_DB / 20)))


def decibels(amplitude: float) -> float:
    """Of full scale."""
    return 20 * math.log10(amplitude) if amplitude > 0 else -math.inf
