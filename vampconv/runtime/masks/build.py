"""The mask of a vamp from what the original's interface asks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import UsageError
from vampconv.runtime.masks.inpaint import inpaint
from vampconv.runtime.masks.onset import onset_mask
from vampconv.runtime.masks.periodic import periodic
from vampconv.runtime.sampling.noise import NoiseSource
from vampconv.runtime.sampling.options import share


@dataclass(frozen=True, kw_only=True)
class MaskOptions:
    """What to make anew, with the original's defaults.

    Parameters
    ----------
    rand_mask_intensity
        The probability of each code to be made anew, where nothing else keeps it.
    prefix_s, suffix_s
        Seconds to keep at the beginning and at the end.
    periodic_prompt
        Every so many steps one is kept, from a random one of the first steps on; 0: none.
    periodic_prompt_width
        How wide: so many steps are kept each time, and one more if that is even.
    onset_mask_width
        Steps to keep before and from each onset on; 0: none.
    dropout
        This share of the steps is drawn, and what is drawn is made anew after all; a step may be drawn twice.
    upper_codebook_mask
        Codebooks from this one on are made anew throughout.
    ncc
        Codebooks before this one are kept throughout.

    Raises
    ------
    UsageError
        If a value is out of range.

    """

    rand_mask_intensity: float = 1.0
    prefix_s: float = 0.0
    suffix_s: float = 0.0
    periodic_prompt: int = 7
    periodic_prompt_width: int = 1
    onset_mask_width: int = 0
    dropout: float = 0.0
    upper_codebook_mask: int = 3
    ncc: int = 0

    def __post_init__(self) -> None:
        share("rand_mask_intensity", self.rand_mask_intensity)
        share("dropout", self.dropout)
        for name in ("prefix_s", "suffix_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UsageError(f"{name} is {getattr(self, name)}", "give seconds from 0 on")
        names = ("periodic_prompt", "periodic_prompt_width", "onset_mask_width", "upper_codebook_mask", "ncc")
        for name in names:
            value = getattr(self, name)
            if value != int(value) or value < 0:
                raise UsageError(f"{name} is {value}", "give a whole number from 0")


def build_mask(
    shape: tuple[int, int, int],
    options: MaskOptions,
    noise: NoiseSource,
    steps_per_second: float,
    onsets: NDArray[np.int64] | None = None,
) -> NDArray[np.bool_]:
    """Bool [batch, n_codebooks, time]: true where a code is to be made anew.

    Parameters
    ----------
    shape
        Of the codes.
    options
        What to make anew.
    noise
        The draws of intensity, roll and dropout.
    steps_per_second
        Of the codes.
    onsets
        Steps of onsets, where `onset_mask_width` is not 0.

    """
    time = shape[-1]
    mask = noise.bernoulli("intensity", options.rand_mask_intensity, shape)
    along_time = inpaint(
        time, math.ceil(options.prefix_s * steps_per_second), math.ceil(options.suffix_s * steps_per_second)
    )
    if options.periodic_prompt:
        roll = int(noise.integers("roll", options.periodic_prompt, 1)[0])
        along_time &= periodic(time, options.periodic_prompt, options.periodic_prompt_width, roll)
    if options.onset_mask_width and onsets is not None:
        along_time &= onset_mask(time, onsets, options.onset_mask_width)
    mask &= along_time
    mask[..., noise.integers("dropout", time, int(time * options.dropout))] = True
    mask[:, : options.ncc] = False
    mask[:, options.upper_codebook_mask :] = True
    return mask
