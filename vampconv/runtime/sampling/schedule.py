"""The cosine schedule: how many tokens are masked again after each step.

All is float32, as in the original: `k = ⌊γ·N⌋` differs from its float64 value now and then. Cosines of numpy, ONNX
Runtime and PyTorch differ in their last bit, so γ is the correctly rounded one.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

LEAST = np.float32(1e-10)
"""Of γ."""


def noise_level(step: int, steps: int) -> np.float32:
    """``r`` of a step from 0: ``(step + 1) / steps``."""
    return np.float32((step + 1) / steps)


def masked_share(step: int, steps: int) -> np.float32:
    """γ: the cosine of ``r·π/2``, at least 1e-10."""
    angle = noise_level(step, steps) * np.float32(np.pi) / np.float32(2)
    return max(np.float32(np.cos(np.float64(angle))), LEAST)


def planned(step: int, steps: int, start: int) -> int:
    """How many tokens the schedule masks after a step, of `start` that were masked before the first."""
    return int(np.floor(masked_share(step, steps) * np.float32(start)))


def to_mask(step: int, steps: int, start: int, masked: NDArray[np.int64]) -> NDArray[np.int64]:
    """How many tokens of each row to mask again after a step that is not the last.

    At least one, and otherwise fewer than are masked now.

    Parameters
    ----------
    step, steps
        The step, from 0, and how many there are.
    start
        Tokens that were masked before the first step, in the whole batch.
    masked
        Int64 [batch]: tokens that were masked in this step.

    """
    return np.maximum(1, np.minimum(masked - 1, planned(step, steps, start)))
