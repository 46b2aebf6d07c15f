"""All but every so many steps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def periodic(time: int, period: int, width: int, roll: int) -> NDArray[np.bool_]:
    """Bool [time]: false around every multiple of `period`, then rolled to the right around the end.

    As in the original, what is false around a multiple reaches ``width // 2`` steps to both sides.
    """
    mask = np.ones(time, np.bool_)
    reach = width // 2
    for step in range(0, time, period):
        mask[max(0, step - reach) : step + reach + 1] = False
    return np.roll(mask, roll)
