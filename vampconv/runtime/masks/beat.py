"""All but what follows beats."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import UsageError
from vampconv.runtime.sampling.noise import NoiseSource, Purpose
from vampconv.runtime.sampling.options import share

Seconds = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class BeatOptions:
    """Which beats a mask keeps, with the original's defaults.

    Parameters
    ----------
    before_beat_s, after_beat_s
        Seconds before and from a beat on.
    mask_downbeats, mask_upbeats
        Whether those beats count.
    downbeat_downsample_factor, beat_downsample_factor
        Only every so many of those beats count; None: all.
    dropout
        The probability that a step at a beat does not count.
    invert
        True: the mask is false at beats and true elsewhere; False: the reverse.

    Raises
    ------
    UsageError
        If a value is out of range.

    """

    before_beat_s: float = 0.0
    after_beat_s: float = 0.02
    mask_downbeats: bool = True
    mask_upbeats: bool = True
    downbeat_downsample_factor: int | None = None
    beat_downsample_factor: int | None = None
    dropout: float = 0.0
    invert: bool = True

    def __post_init__(self) -> None:
        share("dropout", self.dropout)
        for name in ("before_beat_s", "after_beat_s"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name} is {getattr(self, name)}", "give seconds from 0 on")
        for name in ("downbeat_downsample_factor", "beat_downsample_factor"):
            factor = getattr(self, name)
            if factor is not None and factor < 1:
                raise UsageError(f"{name} is {factor}", "give a whole number from 1")


def beat_mask(
    time: int,
    beats: tuple[Seconds, Seconds],
    to_steps: Callable[[Seconds | float], NDArray[np.int64]],
    options: BeatOptions,
    noise: NoiseSource,
) -> NDArray[np.bool_]:
    """Bool [time], by beats and downbeats in seconds.

    Parameters
    ----------
    time
        Steps of the codes.
    beats
        Float32, beats and downbeats; a beat in the step of a downbeat counts as that downbeat only.
    to_steps
        Of seconds, rounded up.
    options
        Which beats count, and how far they reach.
    noise
        The draws of the dropout.

    """
    beat_steps, downbeat_steps = (to_steps(kind) for kind in beats)
    upbeat_steps = beat_steps[~np.isin(beat_steps, downbeat_steps)]
    before, after = int(to_steps(options.before_beat_s)), int(to_steps(options.after_beat_s))
    kinds: list[tuple[bool, Purpose, NDArray[np.int64], int | None]] = [
        (options.mask_upbeats, "upbeats", upbeat_steps, options.beat_downsample_factor),
        (options.mask_downbeats, "downbeats", downbeat_steps, options.downbeat_downsample_factor),
    ]
    mask = np.zeros(time, np.bool_)
    for counts, purpose, steps, factor in kinds:
        if not counts:
            continue
        kept = steps[:: factor or 1].tolist()
        coins = noise.bernoulli(purpose, 1 - options.dropout, (1, before + after, len(kept)))[0]
        for step, row in zip(kept, coins.T, strict=True):
            first = step - before
            inside = slice(max(0, first), max(0, min(time, step + after)))
            mask[inside] = row[inside.start - first :][: inside.stop - inside.start]
    return ~mask if options.invert else mask
