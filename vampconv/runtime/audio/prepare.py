"""What precedes the codec, for audio that comes in pieces: the same as `preprocess`, bit for bit."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError, UsageError
from vampconv.runtime.audio.loudness import LEAST, LoudnessMeter
from vampconv.runtime.audio.preprocess import LOUDNESS, QuietAudioWarning, bounded_gain
from vampconv.runtime.checks import check_channels
from vampconv.runtime.resample import Resampler

Audio = NDArray[np.float32]


class Level(NamedTuple):
    """How loud audio is, at the codec's rate and mixed as the codec takes it."""

    loudness: float
    """LUFS, at least -70: of the mix; of several channels, of one that has their mean power."""
    peak: float
    samples: int
    channels: int

    def gain(self, target: float = LOUDNESS) -> float:
        """The factor to a loudness in LUFS, or less, so that the peak does not pass 1."""
        return bounded_gain(self.loudness, target, self.peak)


def measure(pieces: Iterable[Audio], sample_rate: int, to_rate: int, *, stereo: bool = False) -> Level:
    """The level of audio that comes in pieces float32 [channels, samples], see `prepare`.

    Warns
    -----
    QuietAudioWarning
        If it is at or below -70 LUFS.

    """
    meter, peak, samples, channels = None, 0.0, 0, 0
    for audio in resampled(pieces, sample_rate, to_rate, stereo=stereo):
        channels = len(audio)
        meter = meter or LoudnessMeter(to_rate, channels)
        samples += audio.shape[-1]
        peak = max(peak, float(np.max(np.abs(audio), initial=0)))
        for start in range(0, audio.shape[-1], 10 * to_rate):
            meter.add(audio[:, start : start + 10 * to_rate])
    loudness = LEAST
    if meter is not None and samples:
        loudness = max(LEAST, meter.loudness() - 10 * math.log10(channels))
    if loudness <= LEAST:
        warnings.warn(f"the audio is at or below {LEAST:.0f} LUFS", QuietAudioWarning, stacklevel=2)
    return Level(loudness, peak, samples, channels)


def prepare(
    pieces: Iterable[Audio], sample_rate: int, *, to_rate: int, hop: int, gain: float, stereo: bool = False
) -> Iterator[Audio]:
    """Audio as the codec takes it, in pieces float32 [rows, 1, samples].

    Parameters
    ----------
    pieces
        Float32 [channels, samples].
    sample_rate, to_rate
        Of the audio and of the codec, in Hz.
    hop
        Samples of a step of the codes; zeros at the end fill the last one up.
    gain
        By which all is multiplied.
    stereo
        Whether each channel is a row; otherwise their mean is the only one.

    Raises
    ------
    BadInputError
        If there are no samples, or they are of another type or shape, or not finite, or the rate is none.
    LimitError
        If the rate has next to nothing in common with the codec's.

    """
    if not math.isfinite(gain):
        raise UsageError(f"gain is {gain}", "give a finite number")
    samples, rows = 0, 1
    for audio in resampled(pieces, sample_rate, to_rate, stereo=stereo):
        samples, rows = samples + audio.shape[-1], len(audio)
        if audio.shape[-1]:
            yield audio[:, None] * np.float32(gain)
    missing = max(1, math.ceil(samples / hop)) * hop - samples
    if missing:
        yield np.zeros((rows, 1, missing), np.float32)


def resampled(pieces: Iterable[Audio], sample_rate: int, to_rate: int, *, stereo: bool) -> Iterator[Audio]:
    """Pieces float32 [rows, samples] at the codec's rate, of pieces [channels, samples]; some may be empty."""
    resampler = Resampler(sample_rate, to_rate)
    for piece in pieces:
        check_channels(piece[None])
        yield _mixed(resampler.add(piece), stereo=stereo)
    if not resampler.samples:
        raise BadInputError("there are no samples", "give audio of at least one sample")
    rest = resampler.finish()
    if rest.size:
        yield _mixed(rest, stereo=stereo)


def _mixed(audio: Audio, *, stereo: bool) -> Audio:
    return audio if stereo else audio.mean(axis=0, keepdims=True)
