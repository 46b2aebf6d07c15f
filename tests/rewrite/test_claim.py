"""Claims: what no tolerance excuses, and what one does."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.rewrite import Close, Exact
from vampconv.rewrite.claim import mismatch

NAN, INF = np.nan, np.inf
LOOSE = Close(rtol=10.0, atol=10.0)
CLAIMS = [LOOSE, Exact()]


def breach(claim, result, truth, dtype=np.float32):
    return claim.breach(np.array(result, dtype), np.array(truth, np.float64))


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
@pytest.mark.parametrize(
    ("result", "truth"),
    [
        ([1, NAN], [1, 2]),
        ([1, 2], [1, NAN]),
        ([1, INF], [1, 2]),
        ([1, 2], [1, INF]),
        ([1, INF], [1, -INF]),
        ([1, NAN], [1, INF]),
        ([1, INF], [1, NAN]),
        ([NAN, 1], [1, NAN]),
    ],
)
def test_what_is_not_finite_must_be_the_same_in_the_same_places(claim, result, truth):
    assert breach(claim, result, truth) is not None


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
@pytest.mark.parametrize("values", [[NAN, 1], [INF, -INF], [NAN, NAN], [0, -0.0], []])
def test_equal_values_keep_every_claim(claim, values):
    assert breach(claim, values, values) is None


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
@pytest.mark.parametrize(
    ("result", "truth"),
    [
        ((4, 1), (4, 4)),
        ((1,), ()),
        ((), (1,)),
        ((1, 4), (4,)),
        ((0,), (4,)),
        ((0, 4), (0, 3)),
        ((4, 4), (1, 4)),
    ],
)
def test_broadcasting_never_passes(claim, result, truth):
    assert "shape" in claim.breach(np.zeros(result, np.float32), np.zeros(truth))


@pytest.mark.parametrize("claim", CLAIMS, ids=str)
@pytest.mark.parametrize(
    ("result", "truth"),
    [(np.int64, np.float64), (np.float32, np.int64), (np.bool_, np.float64), (np.float32, np.bool_)],
)
def test_another_kind_of_number_never_passes(claim, result, truth):
    assert "dtype" in claim.breach(np.ones(3, result), np.ones(3, truth))


def test_exact_does_not_truncate_the_truth_to_integers():
    assert Exact().breach(np.array([1]), np.array([1.75])) is not None


def test_exact_rounds_the_truth_once():
    third = np.array([1 / 3])
    assert Exact().breach(third.astype(np.float32), third) is None
    above = np.nextafter(third.astype(np.float32), np.float32(1))
    assert Exact().breach(above, third) == "1 of 1 elements differ"
    assert Exact().breach(np.array([1], np.int64), np.array([2], np.int64)) is not None
    assert Exact().breach(np.array([INF], np.float32), np.array([1e300])) is None


def test_exact_counts_nan_as_equal_to_itself_only():
    assert breach(Exact(), [NAN, 1, 3], [NAN, 2, 3]) == "1 of 3 elements differ"


def test_close_is_absolute_plus_relative_to_the_truth():
    claim = Close(rtol=1e-2, atol=1e-3)
    assert breach(claim, [100.9], [100]) is None
    assert breach(claim, [101.1], [100]) is not None
    assert breach(claim, [0.0009], [0]) is None
    assert breach(claim, [0.0011], [0]) is not None
    assert claim.breach(np.array([100.0]), np.array([101.5])) is not None


def test_the_worst_element_is_told():
    assert "error 5 passes the claimed 0.1" in breach(Close(rtol=0, atol=0.1), [1.2, 6, 3], [1, 1, 3])


def test_a_tolerance_that_is_not_a_number_passes_nothing():
    assert breach(Close(rtol=NAN, atol=NAN), [1], [1]) is not None


def test_empty_results_match_only_empty_truths():
    empty = np.zeros((0, 3), np.float32)
    assert mismatch(empty, np.zeros((0, 3))) is None
    assert mismatch(empty, np.zeros((1, 3))) is not None


def test_large_integers_are_compared_exactly():
    result, truth = np.array([2**60 + 1]), np.array([2**60])
    assert Exact().breach(result, truth) is not None
    assert Close(rtol=0, atol=0).breach(result, truth) is not None
