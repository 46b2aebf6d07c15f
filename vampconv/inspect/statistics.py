"""Statistics of tensors."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from vampconv.dialect.op import Array


@dataclass(frozen=True)
class Statistics:
    """Of the finite elements of a tensor, in float64; None where there are none."""

    min: float | None
    max: float | None
    mean: float | None
    std: float | None
    non_finite: int

    @classmethod
    def of(cls, array: Array) -> Statistics:
        """Statistics of an array of any size and dtype."""
        values = array.astype(np.float64).ravel()
        finite = values[np.isfinite(values)]
        bad = int(values.size - finite.size)
        if not finite.size:
            return cls(None, None, None, None, bad)
        return cls(float(finite.min()), float(finite.max()), float(finite.mean()), float(finite.std()), bad)

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values."""
        return asdict(self)
