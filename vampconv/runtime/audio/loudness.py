"""Loudness by ITU-R BS.1770-4, of audio that comes in pieces of any length.

The K-weighting is that of pyloudnorm, which the original uses: a high shelf of 4 dB at 1.5 kHz and a high pass at
38 Hz, second-order filters by R. Bristow-Johnson's formulas, with coefficients rounded to float32. Blocks are of
0.4 s, 0.1 s apart; as in the original the last one is filled up with zeros, and what is shorter than 0.5 s is
measured as if it were that long.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import sosfilt

BLOCK_SECONDS, OVERLAP = 0.4, 0.75
SHORTEST_SECONDS = 0.5
LEAST = -70.0
"""LUFS: blocks at or below it do not count, and nothing is called quieter."""
RELATIVE_GATE = -10.0
"""LU: blocks so far below the mean of the others do not count either."""
OFFSET = -0.691
WEIGHTS = (1.0, 1.0, 1.0, 1.41, 1.41)
"""Of left, right, centre, left and right surround; others count as the front ones."""
SHELF_GAIN, SHELF_FREQUENCY, SHELF_QUALITY = 4.0, 1500.0, 1 / math.sqrt(2)
PASS_FREQUENCY, PASS_QUALITY = 38.0, 0.5

Doubles = NDArray[np.float64]


class LoudnessMeter:
    """Integrated loudness.

    Parameters
    ----------
    sample_rate
        In Hz.
    channels
        How many there are.

    """

    def __init__(self, sample_rate: int, channels: int) -> None:
        self.sample_rate = sample_rate
        self.length = max(1, int(BLOCK_SECONDS * sample_rate))
        self.step = max(1, int(BLOCK_SECONDS * sample_rate * (1.0 - OVERLAP)))
        self.filters = k_weighting(sample_rate)
        self.state = np.zeros((len(self.filters), channels, 2))
        self.rest = np.zeros((channels, 0))
        self.samples = 0
        self.powers: list[Doubles] = []

    def add(self, audio: NDArray[np.float32]) -> None:
        """Measure more audio, float32 [channels, samples]."""
        if not audio.shape[-1]:
            return
        weighted, self.state = sosfilt(self.filters, audio.astype(np.float64), axis=-1, zi=self.state)
        self.samples += audio.shape[-1]
        self.rest = np.concatenate((self.rest, weighted), axis=-1)
        self.rest = self.rest[:, self._measure(self.rest) :]

    def loudness(self) -> float:
        """LUFS of all that was added, at least `LEAST`."""
        powers = np.array([*self.powers, *self._last()]).T
        weights = np.array([WEIGHTS[c] if c < len(WEIGHTS) else 1.0 for c in range(len(powers))])
        together = weights @ powers
        counting = together > _power(LEAST)
        if not counting.any():
            return LEAST
        gate = max(LEAST, _level(together[counting].mean()) + RELATIVE_GATE)
        return max(LEAST, _level(together[together > _power(gate)].mean()))

    def _measure(self, weighted: Doubles) -> int:
        """Note the power of each whole block; how many samples are done with."""
        blocks = max(0, (weighted.shape[-1] - self.length) // self.step + 1)
        for start in range(0, blocks * self.step, self.step):
            self.powers.append(self._power(weighted[:, start : start + self.length]))
        return blocks * self.step

    def _last(self) -> list[Doubles]:
        """The power of the block that is filled up with zeros, unless the whole ones reach the end."""
        missing = int((SHORTEST_SECONDS - self.samples / self.sample_rate) * self.sample_rate)
        weighted = self.rest
        if missing > 0:
            tail, _ = sosfilt(self.filters, np.zeros((len(self.rest), missing)), axis=-1, zi=self.state)
            weighted = np.concatenate((weighted, tail), axis=-1)
        found: list[Doubles] = []
        start, seen = 0, self.length - self.step if self.powers else 0
        while start + seen < weighted.shape[-1] or not (found or self.powers):
            found.append(self._power(weighted[:, start : start + self.length]))
            start, seen = start + self.step, self.length - self.step
        return found

    def _power(self, block: Doubles) -> Doubles:
        return np.square(block).sum(axis=-1) / (BLOCK_SECONDS * self.sample_rate)


def loudness(audio: NDArray[np.float32], sample_rate: int) -> float:
    """LUFS of audio float32 [channels, samples], at least `LEAST`."""
    meter = LoudnessMeter(sample_rate, len(audio))
    for start in range(0, audio.shape[-1], piece := 10 * sample_rate):
        meter.add(audio[:, start : start + piece])
    return meter.loudness()


def k_weighting(sample_rate: int) -> Doubles:
    """Second-order sections float64 [2, 6] of the K-weighting."""
    return np.array(
        [
            _shelf(SHELF_GAIN, 2 * math.pi * SHELF_FREQUENCY / sample_rate, SHELF_QUALITY),
            _high_pass(2 * math.pi * PASS_FREQUENCY / sample_rate, PASS_QUALITY),
        ]
    )


def _shelf(gain: float, angle: float, quality: float) -> Doubles:
    a, cosine = 10 ** (gain / 40), math.cos(angle)
    slope = 2 * math.sqrt(a) * math.sin(angle) / (2 * quality)
    b = (
        a * (a + 1 + (a - 1) * cosine + slope),
        -2 * a * (a - 1 + (a + 1) * cosine),
        a * (a + 1 + (a - 1) * cosine - slope),
    )
    return _section(
        b,
        (a + 1 - (a - 1) * cosine + slope, 2 * (a - 1 - (a + 1) * cosine), a + 1 - (a - 1) * cosine - slope),
    )


def _high_pass(angle: float, quality: float) -> Doubles:
    cosine, slope = math.cos(angle), math.sin(angle) / (2 * quality)
    b = ((1 + cosine) / 2, -(1 + cosine), (1 + cosine) / 2)
    return _section(b, (1 + slope, -2 * cosine, 1 - slope))


def _section(b: tuple[float, float, float], a: tuple[float, float, float]) -> Doubles:
    return (np.array((*b, *a)) / a[0]).astype(np.float32).astype(np.float64)


def _level(power: Any) -> float:
    return float(OFFSET + 10 * np.log10(power))


def _power(level: float) -> float:
    return float(10 ** ((level - OFFSET) / 10))
