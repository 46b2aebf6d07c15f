"""Which tokens are masked again."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.runtime.sampling.remask import remask

LOW_TO_HIGH = np.array([[0.1, 0.2, 0.3, 0.4, 0.5, 0.6]], np.float32)
NONE = np.zeros_like(LOW_TO_HIGH)
ALL = np.ones_like(LOW_TO_HIGH, bool)


def again(count, masked=ALL, p=LOW_TO_HIGH, gumbel=NONE, temperature=0.0):
    return remask(masked, p, gumbel, np.float32(temperature), np.array([count]))[0].tolist()


@pytest.mark.parametrize("count", range(7))
def test_the_least_confident_ones(count):
    assert again(count) == [i < count for i in range(6)]


def test_never_those_that_were_not_masked():
    masked = np.array([[False, True, False, True, False, True]])
    assert again(2, masked) == [False, True, False, True, False, False]
    assert again(5, masked) == masked[0].tolist()
    assert again(1, ~ALL) == [False] * 6


def test_equal_ones_are_kept_together():
    assert again(2, p=np.full((1, 6), 0.5, np.float32)) == [False] * 6


def test_noise_at_a_temperature():
    noise = np.array([[5, 0, 0, 0, 0, -5]], np.float32)
    assert again(2, gumbel=noise, temperature=1) == [False, True, False, False, False, True]
    assert again(2, gumbel=noise) == [True, True, False, False, False, False]


def test_rows_have_counts_of_their_own():
    rows = np.repeat(LOW_TO_HIGH, 3, axis=0)
    found = remask(np.ones((3, 6), bool), rows, rows * 0, np.float32(0), np.array([0, 2, 9]))
    assert found.sum(-1).tolist() == [0, 2, 6]


def test_a_probability_of_zero_is_the_least_confidence():
    p = LOW_TO_HIGH.copy()
    p[0, 4] = 0
    assert again(1, p=p) == [False, False, False, False, True, False]
