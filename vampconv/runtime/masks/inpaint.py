"""What lies between a prefix and a suffix."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def inpaint(time: int, prefix: int, suffix: int) -> NDArray[np.bool_]:
    """Bool [time]: false in the first `prefix` and the last `suffix` steps."""
    mask = np.ones(time, np.bool_)
    mask[:prefix] = False
    mask[max(0, time - suffix) :] = False
    return mask
