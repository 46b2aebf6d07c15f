"""What stands out: the first value that is not finite, the largest magnitudes, and maps of the worst errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vampconv.verify.result import Comparison, HeadRoom, NonFinite, PartResult

Array = NDArray[Any]
HALF = 65504.0
"""The largest float16."""
TIGHT = 16.0
"""Values that come nearer than this factor to it are reported."""
FLOAT32 = "reference in float32"
"""The side that tells an overflow of float32 itself from a fault of the graph."""
MAPS = 3
CELLS = 48
"""Cells of a map along each axis, at most."""


@dataclass
class Extremes:
    """Collects them while values pass by, in the order of the graph."""

    largest: dict[str, HeadRoom] = field(default_factory=dict)
    first: dict[tuple[str, str], NonFinite] = field(default_factory=dict)
    worst: dict[str, tuple[float, Array, Tensor]] = field(default_factory=dict)
    """The few values of the largest ratios, with their truths."""

    def see(self, row: Comparison, found: Array, truth: Tensor) -> None:
        """Look at a value that was compared."""
        if found.dtype.kind != "f" or not found.size or not truth.is_floating_point():
            return
        size = max(float(found.max()), -float(found.min()))
        known = self.largest.get(row.value)
        if known is None or not (size <= known.largest or np.isnan(known.largest)):
            self.largest[row.value] = HeadRoom(row.value, row.module, size)
        sound = np.isfinite(size) and not row.problem
        own = not row.stands_for  # then the truth is the graph itself, in float64
        finite = {"graph": np.isfinite(size), "reference": sound or own or bool(torch.isfinite(truth).all())}
        finite[FLOAT32] = own or row.error_torch is None or bool(np.isfinite(row.error_torch))
        for side, sound in finite.items():
            if not sound:
                self.first.setdefault((side, str(row.case)), NonFinite(side, row.value, row.module, row.case))
        if found.shape == tuple(truth.shape):
            self._keep(row, found, truth)

    def _keep(self, row: Comparison, found: Array, truth: Tensor) -> None:
        ratio = row.ratio if np.isfinite(row.ratio) else np.inf
        least = min(r for r, *_ in self.worst.values()) if len(self.worst) >= MAPS else 0.0
        if ratio <= max(least, self.worst.get(row.value, (0.0,))[0]):
            return
        self.worst[row.value] = ratio, found, truth
        for name in sorted(self.worst, key=lambda n: -self.worst[n][0])[MAPS:]:
            del self.worst[name]

    def put_into(self, result: PartResult) -> None:
        """Enter what was seen into the result of the part."""
        result.non_finite = list(self.first.values())
        tight = [room for room in self.largest.values() if not room.largest * TIGHT < HALF]
        widest = max(self.largest.values(), key=lambda room: room.largest, default=None)
        result.head_room = sorted(tight, key=lambda room: -room.largest) or ([widest] if widest else [])
        result.heat_maps = {name: error_map(found, truth) for name, (_, found, truth) in self.worst.items()}


def error_map(found: Array, truth: Tensor) -> list[list[float]]:
    """Mean absolute error over the root mean square of the truth, by cells of the last two axes."""
    exact = truth.numpy().reshape(-1, *truth.shape[-2:] if truth.ndim > 1 else (1, truth.numel()))
    with np.errstate(all="ignore"):
        difference = np.abs(found.reshape(exact.shape).astype(np.float64) - exact).mean(axis=0)
        scale = np.sqrt(np.mean(np.square(exact))) or 1.0
        rows, columns = (np.array_split(np.arange(n), min(n, CELLS)) for n in difference.shape)
        return [[float(difference[np.ix_(r, c)].mean() / scale) for c in columns] for r in rows]
