"""What the original does to audio before it encodes it."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.audio.loudness import LEAST, loudness
from vampconv.runtime.checks import check_channels
from vampconv.runtime.resample import resample

LOUDNESS = -24.0
"""LUFS that audio is brought to."""
PEAK = np.float32(1)
"""What it may not pass."""

Audio = NDArray[np.float32]


class QuietAudioWarning(UserWarning):
    """Audio is so quiet that its loudness cannot be told."""


class Preprocessed(NamedTuple):
    """Audio as the codec takes it."""

    audio: Audio
    """Float32 [batch, 1, samples], padded with zeros to a multiple of the hop."""
    samples: int
    """Before the padding."""
    loudness: tuple[float, ...]
    """LUFS of each of the batch, resampled and mixed but not scaled; at least -70."""
    gain: tuple[float, ...]
    """By which each was multiplied."""


def preprocess(
    audio: Audio, sample_rate: int, *, to_rate: int, hop: int, target: float = LOUDNESS
) -> Preprocessed:
    """Resample, mix to mono (the mean), bring to a loudness, scale down if the peak passes 1, pad to the hop.

    Parameters
    ----------
    audio
        Float32 [batch, channels, samples].
    sample_rate, to_rate
        Of the audio and of the codec, in Hz.
    hop
        Samples of a step of the codes.
    target
        In LUFS.

    Warns
    -----
    QuietAudioWarning
        If audio is at or below -70 LUFS. It is treated as if it were there.

    Raises
    ------
    BadInputError
        If the audio is of another type or shape, empty or not finite, or the rate is none.
    LimitError
        If the rate has next to nothing in common with the codec's.

    """
    check_channels(audio)
    mono = resample(audio, sample_rate, to_rate).mean(axis=1, keepdims=True)
    samples = mono.shape[-1]
    padded = np.zeros((len(mono), 1, max(1, math.ceil(samples / hop)) * hop), np.float32)
    measured, gains = [], []
    for row, into in zip(mono, padded, strict=True):
        level = loudness(row, to_rate)
        if level <= LEAST:
            warnings.warn(f"the audio is at or below {LEAST:.0f} LUFS", QuietAudioWarning, stacklevel=2)
        gain = bounded_gain(level, target, float(np.max(np.abs(row), initial=0)))
        np.multiply(row, np.float32(gain), out=into[:, :samples])
        measured.append(level)
        gains.append(gain)
    return Preprocessed(padded, samples, tuple(measured), tuple(gains))


def bounded_gain(level: float, target: float, peak: float) -> float:
    """The factor from one level in LUFS to another, or less, so that the peak does not pass 1."""
    gain = 10 ** ((target - level) / 20)
    return gain if peak * gain <= PEAK else float(PEAK) / peak
