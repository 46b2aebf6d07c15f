"""The schedule against the original's, and where float64 would go another way."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tests.runtime.recordings import recording
from vampconv.runtime.sampling.schedule import masked_share, noise_level, planned, to_mask


def test_all_recorded_counts():
    rows = recording("schedule")["steps_i_N_k"]
    assert len(rows) == 15804
    found = [planned(int(step), int(steps), int(start)) for steps, step, start, _ in rows]
    np.testing.assert_array_equal(found, rows[:, 3])


def test_counts_are_of_float32():
    assert planned(7, 12, 2300) == 1149
    assert math.floor(math.cos(8 / 12 * math.pi / 2) * 2300) == 1150


@pytest.mark.parametrize("steps", [1, 2, 7, 12, 36, 100, 1000])
def test_shares_are_correctly_rounded_cosines(steps):
    for step in range(steps - 1):
        angle = np.float32((step + 1) / steps) * np.float32(np.pi) / np.float32(2)
        exact = np.cos(np.longdouble(angle))
        share = masked_share(step, steps)
        gaps = [abs(np.longdouble(np.nextafter(share, np.float32(side))) - exact) for side in (-1, 2)]
        assert abs(np.longdouble(share) - exact) <= min(gaps)
        assert share.dtype == np.float32
    assert masked_share(steps - 1, steps) == np.float32(1e-10)
    assert noise_level(steps - 1, steps) == 1


@pytest.mark.parametrize(("masked", "wanted"), [(1000, 500), (500, 499), (501, 500), (2, 1), (1, 1), (0, 1)])
def test_at_least_one_and_fewer_than_are_masked(masked, wanted):
    assert planned(2, 4, 1307) == 500
    assert to_mask(2, 4, 1307, np.array([masked])).tolist() == [wanted]
