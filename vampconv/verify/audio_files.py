"""How far two pieces of audio lie apart."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]


def snr_db(found: Array, truth: Array) -> float:
    """Signal-to-noise ratio in decibels: the power of `truth` over that of the difference.

    Infinite where both are equal; minus infinity where either is not finite, or the truth is silence and the other
    is not.

    Raises
    ------
    ValueError
        If the shapes differ, or there is nothing to compare.

    """
    found, truth = np.asarray(found, np.float64), np.asarray(truth, np.float64)
    if found.shape != truth.shape or not truth.size:
        raise ValueError(f"audio of shape {list(found.shape)} cannot be compared with {list(truth.shape)}")
    if not (np.isfinite(found).all() and np.isfinite(truth).all()):
        return -math.inf
    noise, signal = float(np.sum(np.square(found - truth))), float(np.sum(np.square(truth)))
    if not noise:
        return math.inf
    return 10 * math.log10(signal / noise) if signal else -math.inf
