"""Resampling by a windowed sinc, as the original software does it.

Output sample j lies at j·old/new of the input and is the sum of the input samples around it, weighted by
sinc(t)·cos²(πt/2Z) of their distances t in periods of the lower rate times R. Z is `ZEROS`, R `ROLLOFF`; weights
end at |t| = Z and sum to one for each output. Beyond its ends the input keeps its first and its last value. This
is the definition of ``ResampleFrac`` in julius 0.2.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.signal import upfirdn

from vampconv.errors import LimitError
from vampconv.runtime.checks import check_rate, check_samples

ZEROS = 24
"""Zero crossings of the sinc to either side."""
ROLLOFF = 0.945
"""Of half the lower rate: where the filter cuts."""
BLOCK = 1 << 20
"""Samples in work at a time in all rows, of the input or the output, whichever are more."""
MOST_PHASES = 100_000
"""Terms of the reduced ratio of the rates; to make the filter takes 270 MB there."""
MOST_SAMPLES = 1 << 30
"""Samples of the output, six hours at 48 kHz; more are asked for by wrong rates."""

Audio = NDArray[np.float32]


def resample(audio: Audio, old_rate: int, new_rate: int) -> Audio:
    """Audio float32 [..., samples] of `old_rate` Hz at `new_rate` Hz, of a length by `resampled_length`.

    Equal rates give the audio itself. Rows are independent, and memory is little more than what is returned.

    Raises
    ------
    BadInputError
        If the audio is of another type, empty or not finite, or a rate is no positive integer.
    LimitError
        If the rates have next to nothing in common, or the output would be too long.

    """
    check_samples(audio)
    old, new = _reduced(check_rate(old_rate), check_rate(new_rate), audio.shape[-1])
    if old == new:
        return audio
    resampled = np.empty((*audio.shape[:-1], resampled_length(audio.shape[-1], old, new)), np.float32)
    steps = audio.shape[-1] // old + 1
    taps, reach, late = _filter(old, new)
    at_once = max(1, BLOCK // (max(old, new) * audio[..., 0].size))
    for step in range(0, steps, at_once):
        stop = min(step + at_once, steps)
        around = np.arange(step * old - reach, stop * old + reach)
        found = upfirdn(taps, audio.take(around, axis=-1, mode="clip"), new, old)
        kept = resampled[..., step * new : stop * new]
        kept[...] = found[..., late : late + kept.shape[-1]]
    return resampled


class Resampler:
    """Resamples audio that comes in pieces, bit for bit to what `resample` makes of the whole.

    Parameters
    ----------
    old_rate, new_rate
        In Hz.

    Raises
    ------
    BadInputError
        If a rate is no positive integer.
    LimitError
        If the rates have next to nothing in common.

    """

    def __init__(self, old_rate: int, new_rate: int) -> None:
        self.old, self.new = _reduced(check_rate(old_rate), check_rate(new_rate), 0)
        self.taps, self.reach, self.late = (
            _filter(self.old, self.new) if self.old != self.new else (np.empty(0, np.float32), 0, 0)
        )
        self.least = self.reach + math.ceil(MOST_OFF * self.old / self.new)
        self.samples, self.steps = 0, 0
        self.held: Audio | None = None

    def add(self, audio: Audio) -> Audio:
        """What follows from more audio float32 [..., samples], as far as it is certain."""
        check_samples(audio)
        self.samples += audio.shape[-1]
        if self.old == self.new:
            return audio
        before = np.repeat(audio[..., :1], self.reach, axis=-1) if self.held is None else self.held
        self.held = np.concatenate((before, audio), axis=-1)
        return self._make(max(0, (self.samples - self.least) // self.old - self.steps))

    def finish(self) -> Audio:
        """The rest, after all audio was added."""
        if self.held is None:
            return np.empty(0, np.float32)
        rest = resampled_length(self.samples, self.old, self.new) - self.steps * self.new
        steps = self.samples // self.old + 1 - self.steps
        missing = steps * self.old + 2 * self.reach - self.held.shape[-1]
        last = np.repeat(self.held[..., -1:], max(0, missing), axis=-1)
        self.held = np.concatenate((self.held, last), axis=-1)
        return self._make(steps)[..., :rest]

    def _make(self, steps: int) -> Audio:
        assert self.held is not None
        used = self.held[..., : steps * self.old + 2 * self.reach]
        made = np.empty((*used.shape[:-1], steps * self.new), np.float32)
        if steps:
            found = upfirdn(self.taps, used, self.new, self.old)
            made[...] = found[..., self.late : self.late + made.shape[-1]]
            self.held = self.held[..., steps * self.old :]
            self.steps += steps
        return made


MOST_OFF = 64
"""Samples by which `resampled_length` is off at most, up to `MOST_SAMPLES`."""


def resampled_length(samples: int, old_rate: int, new_rate: int) -> int:
    """How long `samples` of `old_rate` Hz are at `new_rate` Hz: ``samples·new/old``, rounded down.

    As in the original the quotient is a float32, so one of 2²⁴ or more may be a few samples off.
    """
    common = math.gcd(old_rate, new_rate)
    old, new = old_rate // common, new_rate // common
    rounded = int(np.float32(new * samples / old))
    return samples if old == new else min(rounded, (samples // old + 1) * new)


def _reduced(old: int, new: int, length: int) -> tuple[int, int]:
    """The terms of the ratio old : new, without common divisor."""
    common = math.gcd(old, new)
    rates = f"resampling {length} samples from {old} to {new} Hz"
    old, new = old // common, new // common
    if max(old, new) > MOST_PHASES:
        raise LimitError(
            f"{rates} takes {max(old, new)} phases, more than {MOST_PHASES}", "give a usual rate"
        )
    if length * new > MOST_SAMPLES * old:
        raise LimitError(f"{rates} makes more than {MOST_SAMPLES}", "check the rates")
    return old, new


def _filter(old: int, new: int) -> tuple[Audio, int, int]:
    """Taps for `upfirdn` up by `new` and down by `old`.

    Returns
    -------
    taps
        Float32, one for each multiple of 1/(old·new) of a period.
    reach
        Input samples before and after those of a block that its outputs depend on.
    late
        Outputs by which the filter comes late where the input begins `reach` samples early.

    """
    cut = min(old, new) * ROLLOFF
    reach = math.ceil(ZEROS * old / cut) + 1
    phase = np.arange(new)[:, None]
    index = phase * old // new + np.arange(-reach, reach + 1)
    # The original computes distances in float32, which shows at 105 dB; the rest shows at 138 dB.
    distance = ((-phase / new).astype(np.float32) + index.astype(np.float32) / np.float32(old)) * np.float32(
        cut
    )
    t = np.clip(distance, -ZEROS, ZEROS).astype(np.float64)
    weights = np.sinc(t) * np.cos(t * (np.pi / 2 / ZEROS)) ** 2
    weights /= weights.sum(axis=1, keepdims=True)
    centre = (reach + 1) * new
    centre += -(centre + reach * new) % old
    taps = np.zeros(2 * centre, np.float32)
    taps[centre + phase * old - index * new] = weights
    return taps, reach, (centre + reach * new) // old
