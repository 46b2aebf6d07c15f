"""Where something begins: spectral flux, its peaks, and from these back to the minimum before.

This is what the original has from ``librosa.onset.onset_detect`` (version 0.11, `backtrack` on), which brings a
compiler and works half a minute when it is first called. Strength is the mean over mel bands of the rise in decibels
from frame to frame (Böck & Widmer, 2013); a peak is the greatest within 30 ms before and exceeds the mean of 0.1 s to
both sides by 0.07 of the range (Böck, Krebs & Schedl, 2012).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.audio.mel import mel_decibels

FRAME = 2048
"""Samples of a spectrum."""
BEFORE_MAX_SECONDS, AROUND_MEAN_SECONDS, APART_SECONDS = 0.03, 0.1, 0.03
ABOVE_MEAN = 0.07

Floats = NDArray[np.float32]


def onset_steps(audio: Floats, sample_rate: int, hop: int) -> NDArray[np.int64]:
    """Steps at which something begins, int64, ascending; one may come twice.

    Parameters
    ----------
    audio
        Float32 [samples].
    sample_rate
        In Hz.
    hop
        Samples of a step.

    """
    strength = onset_strength(audio, sample_rate, hop)
    strength = strength - strength.min()
    if not strength.any():
        return np.empty(0, np.int64)
    strength /= strength.max() + np.finfo(np.float32).tiny
    return traced_back(peaks(strength, sample_rate / hop), strength)


def onset_strength(audio: Floats, sample_rate: int, hop: int) -> Floats:
    """Float32 [steps]: how much louder each step is than the one before, in the mean of the mel bands."""
    levels = mel_decibels(audio, sample_rate, FRAME, hop)
    rises = np.maximum(0, levels[:, 1:] - levels[:, :-1]).mean(axis=0)
    late = 1 + FRAME // (2 * hop)
    return np.pad(rises, (late, 0))[: levels.shape[1]].astype(np.float32)


def peaks(strength: Floats, rate: float) -> NDArray[np.int64]:
    """Places of the peaks of a strength from 0 to 1 that comes `rate` times a second, ascending."""
    before, around = int(BEFORE_MAX_SECONDS * rate), int(AROUND_MEAN_SECONDS * rate)
    apart, found, place = int(APART_SECONDS * rate), [], 0
    while place < len(strength):
        greatest = strength[max(0, place - before) : place + 1].max()
        mean = strength[max(0, place - around) : place + around + 1].mean()
        is_peak = strength[place] == greatest and strength[place] >= mean + ABOVE_MEAN
        if is_peak:
            found.append(place)
        place += 1 + apart * is_peak
    return np.array(found, np.int64)


def traced_back(found: NDArray[np.int64], strength: Floats) -> NDArray[np.int64]:
    """The last minimum of the strength up to each peak, or 0."""
    inner = strength[1:-1]
    minima = 1 + np.flatnonzero((inner <= strength[:-2]) & (inner < strength[2:]))
    minima = np.concatenate(([0], minima))
    return minima[np.searchsorted(minima, found, side="right") - 1]
