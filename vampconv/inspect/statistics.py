"""Statistics of tensors."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vampconv.dialect.op import Array

PIECE = 1 << 20
"""Elements that are looked at at a time: in float64 they take more memory than as they are stored."""


@dataclass(frozen=True)
class Statistics:
    """Of the finite elements of a tensor, in float64; None where there are none, or where they overflow.

    Complex elements count by their magnitude.
    """

    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    non_finite: int

    @classmethod
    def of(cls, array: Array) -> Statistics:
        """Statistics of an array of any size and dtype."""
        count, least_of, most_of, total = 0, [], [], 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            for part in _finite(array):
                count += part.size
                least_of.append(part.min())
                most_of.append(part.max())
                total += float(part.sum())
            bad = int(array.size - count)
            if not count:
                return cls(None, None, None, None, bad)
            average = total / count
            spread = sum(float(np.square(part - average).sum()) for part in _finite(array))
            found = [float(min(least_of)), float(max(most_of)), average, math.sqrt(spread / count)]
        least, most, mean, deviation = (number if np.isfinite(number) else None for number in found)
        return cls(least, most, mean, deviation, bad)

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)


def _finite(array: Array) -> Iterator[Array]:
    """The finite elements in float64, some at a time."""
    flat = array.reshape(-1)
    for start in range(0, flat.size, PIECE):
        part = flat[start : start + PIECE]
        values = (np.abs(part) if part.dtype.kind == "c" else part).astype(np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            yield finite
