"""Statistics of tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vampconv.dialect.op import Array


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
        real = np.abs(array) if array.dtype.kind == "c" else array
        values = real.astype(np.float64).ravel()
        finite = values[np.isfinite(values)]
        bad = int(values.size - finite.size)
        if not finite.size:
            return cls(None, None, None, None, bad)
        with np.errstate(over="ignore", invalid="ignore"):
            found = [float(f) for f in (finite.min(), finite.max(), finite.mean(), finite.std())]
        least, most, mean, deviation = (number if np.isfinite(number) else None for number in found)
        return cls(least, most, mean, deviation, bad)

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)
