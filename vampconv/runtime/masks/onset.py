"""All but what lies around onsets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def onset_mask(time: int, onsets: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Bool [time]: false in the `width` steps before each onset and the `width` steps from it on."""
    mask = np.ones(time, np.bool_)
    for onset in onsets.tolist():
        mask[max(0, onset - width) : onset + width] = False
    return mask
