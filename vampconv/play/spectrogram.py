"""Spectrograms to look at."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.audio.mel import mel_bank

FRAME = 2048
"""Samples of a spectrum."""
MOST_COLUMNS = 1200
LEAST_LEVEL = -100.0
"""Decibels of what is quieter, and of silence."""
AT_ONCE = 256

Floats = NDArray[np.float32]


def spectrogram(audio: Floats, sample_rate: int) -> Floats:
    """Levels in decibels, float32 [mel bands, columns], of audio float32 [samples]; columns are evenly spaced.

    There is one column for each quarter of a frame, and no more than can be seen.
    """
    columns = int(np.clip(len(audio) // (FRAME // 4), 1, MOST_COLUMNS))
    centres = ((np.arange(columns) + 0.5) * len(audio) / columns).astype(np.int64)
    padded = np.pad(audio, FRAME // 2)
    window = np.hanning(FRAME + 1)[:-1].astype(np.float32)
    bank = mel_bank(sample_rate, FRAME)
    levels = np.empty((len(bank), columns), np.float32)
    for start in range(0, columns, AT_ONCE):
        places = centres[start : start + AT_ONCE, None] + np.arange(FRAME)
        spectra = np.fft.rfft(padded[places] * window, axis=-1)
        powers = bank @ (np.abs(spectra) ** 2).astype(np.float32).T
        with np.errstate(divide="ignore"):
            levels[:, start : start + AT_ONCE] = 10 * np.log10(powers)
    return np.maximum(levels, LEAST_LEVEL)


def band_of(hertz: float, sample_rate: int) -> float:
    """The band that a frequency is in, as a position among the bands."""
    bank = mel_bank(sample_rate, FRAME)
    return float(np.argmax(bank[:, min(round(hertz * FRAME / sample_rate), FRAME // 2)]))
