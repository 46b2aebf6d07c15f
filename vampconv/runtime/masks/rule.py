"""Masks of codes whose end is not known yet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError, UsageError
from vampconv.runtime.checks import check_mask
from vampconv.runtime.masks.build import MaskOptions, build_mask
from vampconv.runtime.sampling.noise import NoiseSource

Mask = NDArray[np.bool_]
MaskRule = Callable[[int, int], Mask]
"""The mask of the steps from one up to another, bool [batch or 1, n_codebooks, steps]."""
NEEDS_THE_END = ("suffix_s", "periodic_prompt", "onset_mask_width", "dropout")
"""Options that only the whole can be masked by: the period is rolled around the end."""


class StreamedMask:
    """The mask that `build_mask` makes of codes of any length, from their beginning on.

    Parameters
    ----------
    options
        What to make anew. Options that depend on the end must be 0.
    codebooks
        How many there are.
    noise
        Draws of which longer ones begin with the shorter, as those of a seed.
    steps_per_second
        Of the codes.

    Raises
    ------
    UsageError
        If an option depends on the end.

    """

    def __init__(
        self, options: MaskOptions, codebooks: int, noise: NoiseSource, steps_per_second: float
    ) -> None:
        for name in NEEDS_THE_END:
            if getattr(options, name):
                raise UsageError(f"{name} needs the length of what is masked", f"give time= or {name}=0")
        self.options, self.codebooks = options, codebooks
        self.noise, self.steps_per_second = noise, steps_per_second
        self.known = np.empty((1, codebooks, 0), np.bool_)

    def __call__(self, start: int, stop: int) -> Mask:
        """The mask of some steps."""
        if stop > (length := self.known.shape[-1]):
            shape = (1, self.codebooks, max(stop, 2 * length))
            self.known = build_mask(shape, self.options, self.noise, self.steps_per_second)
        return self.known[..., start:stop]


def rule_of(mask: NDArray[Any]) -> MaskRule:
    """A rule that gives a whole mask in parts: [batch, n_codebooks, time] or [batch, time] of zeros and ones.

    Raises
    ------
    BadInputError
        If it is no mask; where it is asked for steps beyond its end.

    """
    if isinstance(mask, np.ndarray) and mask.ndim in (2, 3):
        check_mask(mask, mask.shape if mask.ndim == 3 else (mask.shape[0], 1, mask.shape[1]))
    else:
        check_mask(mask, (1, 1, 1))
    whole = (mask if mask.ndim == 3 else mask[:, None]).astype(np.bool_)

    def part(start: int, stop: int) -> Mask:
        if stop > whole.shape[-1]:
            raise BadInputError(
                f"the mask is of {whole.shape[-1]} steps, and there are codes of more",
                "give one of their length",
            )
        return whole[..., start:stop]

    return part
