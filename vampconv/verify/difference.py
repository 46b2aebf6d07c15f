"""How far two tensors are apart, in one pass over both."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TINY = 1e-10
"""Norms down to here can be taken in float32: squares of what matters do not underflow."""
BLOCK = 3 << 13
"""Elements taken at a time: few enough to stay in the processor's cache, and for torch to stay in one thread."""


@dataclass(frozen=True)
class Difference:
    """What one pass finds.

    Attributes
    ----------
    error
        Relative L2 error over the finite elements; absolute where the truth is zero.
    worst
        Where, in the order of the elements, the difference is largest.
    isfinite
        Whether all differences are finite.
    largest
        The largest magnitude of what was found, if it was taken.

    """

    error: float
    worst: int
    isfinite: bool
    largest: float | None = None


def differ(found: Tensor, truth: Tensor) -> Difference:
    """The difference of two tensors of one shape.

    Of float32, the difference to the truth's nearest float32 is taken: it is exact where the two are near, and
    what the rounding adds (2⁻²⁵ of an element) is far below any bound.
    """
    if found.dtype == torch.float32 and found.numel():
        quick = _in_float32(found, truth)
        if quick is not None:
            return quick
    exact = truth.double()
    difference = found.double() - exact
    sound = torch.isfinite(difference)
    difference, exact = difference.where(sound, 0.0), exact.where(sound, 0.0)
    distance, norm = (float(torch.linalg.vector_norm(x)) for x in (difference, exact))
    worst = int(difference.abs_().argmax()) if difference.numel() else 0
    return Difference(distance / (norm or 1.0), worst, bool(sound.all()))


def _in_float32(found: Tensor, truth: Tensor) -> Difference | None:
    """The difference, if float32 can hold it: all finite, and the truth not vanishingly small."""
    here, there = found.reshape(-1), _flat(truth)
    near, apart = (torch.empty(min(BLOCK, here.numel())) for _ in range(2))
    distance = norm = farthest = largest = 0.0
    worst = 0
    for start in range(0, here.numel(), BLOCK):
        part = here[start : start + BLOCK]
        one, other = near[: part.numel()], apart[: part.numel()]
        one.copy_(there[start : start + BLOCK])
        torch.sub(part, one, out=other)
        distance = math.hypot(distance, float(torch.linalg.vector_norm(other)))
        norm = math.hypot(norm, float(torch.linalg.vector_norm(one)))
        if not math.isfinite(distance + norm):
            return None
        most = _magnitude(other)
        if most > farthest:
            place = np.argmax(other.abs_().numpy())  # torch takes ten times as long
            farthest, worst = most, start + int(place)
        largest = max(largest, _magnitude(part))
    return Difference(distance / norm, worst, isfinite=True, largest=largest) if norm > TINY else None


def _flat(truth: Tensor) -> Tensor:
    """The elements in a row; where they lie in another order, they are put in order as float32."""
    return truth.reshape(-1) if truth.is_contiguous() else truth.to(torch.float32).reshape(-1)


def _magnitude(x: Tensor) -> float:
    least, most = torch.aminmax(x)
    return max(float(most), -float(least))
