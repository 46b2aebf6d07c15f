"""Spectra in mel bands."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BANDS = 128
LEAST_POWER = 1e-10
RANGE = 80.0
"""Decibels below the greatest level that are told apart."""
LINEAR_HZ = 200 / 3
"""Of one mel, up to `BREAK_HZ`."""
BREAK_HZ = 1000.0
LOG_STEP = np.log(6.4) / 27
"""Of one mel, beyond."""

Floats = NDArray[np.float32]


def mel_decibels(audio: Floats, sample_rate: int, frame: int, hop: int) -> Floats:
    """Levels float32 [bands, 1 + samples // hop] in decibels, no further than `RANGE` below the greatest.

    Frames are centred at multiples of the hop, the audio being continued with zeros, and weighted by a Hann window.
    """
    padded = np.pad(audio, frame // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, frame)[::hop]
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(frame) / frame)).astype(np.float32)
    bank = mel_bank(sample_rate, frame)
    powers = np.empty((BANDS, len(frames)), np.float32)
    for start in range(0, len(frames), 256):
        spectra = np.fft.rfft(frames[start : start + 256] * window, axis=-1)
        powers[:, start : start + 256] = bank @ (np.abs(spectra) ** 2).astype(np.float32).T
    levels = 10 * np.log10(np.maximum(powers, np.float32(LEAST_POWER)))
    return np.maximum(levels, levels.max() - np.float32(RANGE))


def mel_bank(sample_rate: int, frame: int) -> Floats:
    """Weights float32 [bands, 1 + frame // 2]: triangles of equal area, equally wide in mel, from 0 to half the rate.

    Mel is that of Slaney's Auditory Toolbox (1998).
    """
    frequencies = np.fft.rfftfreq(frame, 1 / sample_rate)
    edges = _hz(np.linspace(0, _mel(sample_rate / 2), BANDS + 2))
    low, centre, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.minimum((frequencies - low) / (centre - low), (high - frequencies) / (high - centre))
    return (np.maximum(0, triangles) * 2 / (high - low)).astype(np.float32)


def _mel(hz: float) -> float:
    if hz < BREAK_HZ:
        return hz / LINEAR_HZ
    return float(BREAK_HZ / LINEAR_HZ + np.log(hz / BREAK_HZ) / LOG_STEP)


def _hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    beyond = BREAK_HZ * np.exp(LOG_STEP * (mel - BREAK_HZ / LINEAR_HZ))
    return np.where(mel < BREAK_HZ / LINEAR_HZ, mel * LINEAR_HZ, beyond)
