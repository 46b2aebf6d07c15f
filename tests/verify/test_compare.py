"""Comparing: nothing passes that should not, each verdict has its border, and the worst element is the worst."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from vampconv.verify.compare import FLOOR, Measured, compare, judge, relative
from vampconv.verify.result import Verdict, worst

PASS, WARN, FAIL = Verdict
INF, NAN = math.inf, math.nan
ORDER = list(Verdict)


def judged(found, truth, rival=None, level=0.0) -> Measured:
    """The verdict on an array, given the truth and what torch has."""
    truth = torch.as_tensor(truth)
    error = 0.0 if rival is None else relative(torch.as_tensor(rival), truth)
    return compare(np.asarray(found), truth, error, level)


def ramp(*shape):
    """A truth without zeros."""
    return torch.arange(1, math.prod(shape) + 1, dtype=torch.float64).reshape(shape)


def off_by(truth, error):
    """Float64 values whose relative error is `error`."""
    found = truth.clone()
    found[(0,) * truth.ndim] += error * float(torch.linalg.vector_norm(truth))
    return found.numpy()


def test_equal_values_pass_without_error():
    measured = judged(ramp(3, 4).float().numpy(), ramp(3, 4), ramp(3, 4).float())
    assert (measured.verdict, measured.error_ort, measured.error_torch) == (PASS, 0.0, 0.0)
    assert (measured.shape, measured.problem, measured.worst_index) == ((3, 4), "", ())


@pytest.mark.parametrize("value", [NAN, INF, -INF])
@pytest.mark.parametrize("count", [1, 12])
def test_what_is_not_finite_never_passes(value, count):
    found = ramp(3, 4).float().numpy()
    found.reshape(-1)[12 - count :] = value
    measured = judged(found, ramp(3, 4), ramp(3, 4) * 2, level=INF)
    assert measured.verdict is FAIL
    assert measured.error_ort == INF
    assert measured.problem == f"{count} elements are {str(value).replace('nan', 'NaN')}, 0 of the reference"
    assert measured.worst_index == divmod(12 - count, 4)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_what_is_not_finite_in_the_reference_alone_never_passes(value):
    truth = ramp(3, 4)
    truth[1, 2] = value
    measured = judged(ramp(3, 4).float().numpy(), truth)
    assert measured.verdict is FAIL
    assert measured.worst_index == (1, 2)
    assert measured.worst_found == 7.0
    assert measured.worst_truth == value or math.isnan(value)


@pytest.mark.parametrize(
    ("found", "truth"),
    [
        ([NAN, 1, 2], [1, NAN, 2]),
        ([NAN, NAN, 2], [1, NAN, 2]),
        ([INF, 1], [-INF, 1]),
        ([-INF, 1], [INF, 1]),
        ([INF, -INF, 1], [-INF, INF, 1]),
        ([INF, NAN, 1], [NAN, INF, 1]),
        ([INF, 1], [NAN, 1]),
        ([NAN, 1], [INF, 1]),
    ],
)
def test_non_finite_on_both_sides_must_be_the_same_at_the_same_places(found, truth):
    measured = judged(np.float32(found), torch.tensor(truth).double())
    assert measured.verdict is FAIL
    assert measured.error_ort == INF
    assert measured.worst_index == (0,)


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_rest_is_compared_where_both_are_not_finite(value):
    truth = ramp(5)
    truth[1] = value
    assert judged(truth.float().numpy(), truth).verdict is PASS
    found = truth.float().numpy()
    found[3] = 4.5
    measured = judged(found, truth)
    assert measured.verdict is FAIL
    assert measured.error_ort == pytest.approx(0.5 / math.sqrt(1 + 9 + 16 + 25))
    assert (measured.worst_index, measured.worst_found, measured.worst_truth) == ((3,), 4.5, 4.0)


@pytest.mark.parametrize("value", [NAN, INF])
def test_where_nothing_is_finite_there_is_nothing_to_compare(value):
    measured = judged(np.full((2, 3), value, np.float32), torch.full((2, 3), value).double())
    assert measured.verdict is FAIL
    assert "nothing to compare" in measured.problem


def test_a_number_too_large_for_float32_is_not_infinity():
    assert judged(np.float32([INF, 1]), torch.tensor([1e39, 1], dtype=torch.float64)).verdict is FAIL


@pytest.mark.parametrize(
    ("found", "truth"),
    [
        ((4, 1), (4, 4)),
        ((4, 4), (4, 1)),
        ((1,), (4, 4)),
        ((), (4,)),
        ((4,), ()),
        ((1,), ()),
        ((4,), (1, 4)),
        ((2, 3), (3, 2)),
        ((6,), (2, 3)),
        ((0,), (4,)),
        ((0, 4), (4, 4)),
    ],
)
def test_shapes_that_would_broadcast_or_are_otherwise_not_the_same_fail(found, truth):
    measured = judged(np.ones(found, np.float32), torch.ones(truth).double(), torch.ones(truth), level=INF)
    assert (measured.verdict, measured.error_ort) == (FAIL, INF)
    assert measured.problem == f"its shape is {list(found)}, not {list(truth)}"


@pytest.mark.parametrize("shape", [(0,), (3, 0), (0, 2, 4)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.int64])
def test_empty_values_fail(shape, dtype):
    truth = torch.ones(shape, dtype=dtype)
    measured = judged(truth.numpy(), truth)
    assert measured.verdict is FAIL
    assert "nothing to compare" in measured.problem


@pytest.mark.parametrize(
    ("found", "truth", "told"),
    [
        (np.int64, torch.float64, "its type is int64, not floating point"),
        (np.bool_, torch.float64, "its type is bool, not floating point"),
        (np.float32, torch.int64, "its type is float32, not int64"),
        (np.int32, torch.int64, "its type is int32, not int64"),
        (np.uint8, torch.bool, "its type is uint8, not bool"),
        (np.bool_, torch.int64, "its type is bool, not int64"),
        (np.complex64, torch.float64, "its type is complex64, not floating point"),
    ],
)
def test_types_must_be_those_of_the_truth(found, truth, told):
    measured = judged(np.ones(3, found), torch.ones(3, dtype=truth))
    assert (measured.verdict, measured.problem) == (FAIL, told)


@pytest.mark.parametrize(
    ("found", "truth"),
    [
        (np.array([[5, 6], [7, 8]]), torch.tensor([[5, 6], [7, 9]])),
        (np.array([[5, 6], [7, 2**60]]), torch.tensor([[5, 6], [7, 2**60 + 1]])),
        (np.array([[True, False], [True, True]]), torch.tensor([[True, False], [True, False]])),
    ],
)
def test_integers_and_booleans_are_compared_exactly(found, truth):
    measured = judged(found, truth, level=INF)
    assert (measured.verdict, measured.error_ort, measured.worst_index) == (FAIL, 0.25, (1, 1))
    assert judged(truth.numpy(), truth).verdict is PASS


def test_where_the_truth_is_zero_the_error_is_absolute():
    zeros = torch.zeros(4).double()
    assert judged(np.zeros(4, np.float32), zeros).verdict is PASS
    assert judged(np.float32([0, 1e-7, 0, 0]), zeros).error_ort == pytest.approx(1e-7)
    assert judged(np.float32([0, 1e-7, 0, 0]), zeros).verdict is PASS
    assert judged(np.float32([0, 1e-3, 0, 0]), zeros).verdict is FAIL


@pytest.mark.parametrize("power", range(-42, 39, 3))
@pytest.mark.parametrize("error", [1e-6, 1e-2, 1.0])
def test_the_error_is_what_its_definition_says_at_every_scale(power, error):
    random = np.random.default_rng(power + 100)
    truth = random.uniform(-1, 1, 500) * 10.0**power * np.geomspace(1e-4, 1, 500)
    found = (truth * (1 + error * random.standard_normal(500))).astype(np.float32)
    one, other = found.astype(np.float64) / 10.0**power, truth / 10.0**power
    wanted = np.linalg.norm(one - other) / np.linalg.norm(other)
    assert judged(found, truth).error_ort == pytest.approx(wanted, rel=1e-3, abs=2.0**-25)


def test_zero_found_for_something_fails():
    assert judged(np.zeros(12, np.float32), ramp(12)).error_ort == 1.0
    assert judged(np.zeros(12, np.float32), ramp(12) * 1e-30).verdict is FAIL


def test_values_without_axes():
    assert judged(np.float32(3), torch.tensor(3.0).double()).verdict is PASS
    measured = judged(np.float32(3), torch.tensor(4.0).double())
    assert (measured.verdict, measured.shape, measured.error_ort) == (FAIL, (), 0.25)
    assert (measured.worst_index, measured.worst_found, measured.worst_truth) == ((), 3.0, 4.0)
    assert judged(np.float32(NAN), torch.tensor(4.0).double()).verdict is FAIL
    assert judged(np.int64(3), torch.tensor(3)).verdict is PASS
    assert judged(np.int64(3), torch.tensor(4)).verdict is FAIL


def test_the_bound_is_four_times_the_error_of_torch_or_a_floor():
    truth = ramp(6)
    assert FLOOR == 16 * 2.0**-24
    assert judged(truth.numpy(), truth).bound == FLOOR
    assert judged(truth.numpy(), truth, off_by(truth, FLOOR / 5)).bound == FLOOR
    measured = judged(truth.numpy(), truth, off_by(truth, 1e-5))
    assert measured.error_torch == pytest.approx(1e-5)
    assert measured.bound == pytest.approx(4e-5)


def test_the_bound_heeds_the_errors_of_what_a_value_is_made_of():
    truth = ramp(6)
    assert judged(truth.numpy(), truth, level=1e-4).bound == pytest.approx(4e-4)
    assert judged(truth.numpy(), truth, off_by(truth, 1e-3), level=1e-4).bound == pytest.approx(4e-3)
    assert judged(truth.numpy(), truth, off_by(truth, 1e-3), level=1e-4).error_torch == pytest.approx(1e-3)


@pytest.mark.parametrize("level", [NAN, INF])
def test_no_bound_is_infinite(level):
    assert judged(ramp(6).numpy(), ramp(6), level=level).bound == FLOOR
    assert compare(ramp(6).numpy() * 2, ramp(6), level, 0.0).verdict is FAIL


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (0.0, PASS),
        (1e-5, PASS),
        (math.nextafter(1e-5, 1), WARN),
        (4e-5, WARN),
        (math.nextafter(4e-5, 1), FAIL),
        (1e30, FAIL),
        (INF, FAIL),
        (NAN, FAIL),
    ],
)
def test_borders_of_the_verdicts(error, verdict):
    assert judge(error, 1e-5) is verdict


def test_verdicts_follow_the_error():
    truth = ramp(8)
    for times, verdict in ((0.99, PASS), (1.01, WARN), (3.99, WARN), (4.01, FAIL)):
        assert judged(off_by(truth, times * FLOOR), truth).verdict is verdict
        rival = off_by(truth, 1e-5)
        assert judged(off_by(truth, times * 4e-5), truth, rival).verdict is verdict


def test_the_gravest_verdict():
    assert worst([]) is PASS
    assert worst([WARN, PASS]) is WARN
    assert worst(iter([WARN, FAIL, PASS])) is FAIL


@pytest.mark.parametrize("shape", [(7,), (2, 5), (3, 2, 4), (2, 1, 3, 2)])
def test_the_worst_element_is_found(shape):
    random = np.random.default_rng(len(shape))
    truth = random.standard_normal(shape)
    found = (truth + 1e-3 * random.standard_normal(shape)).astype(np.float32)
    measured = judged(found, torch.from_numpy(truth))
    place = np.unravel_index(np.abs(found - truth).argmax(), shape)
    assert measured.worst_index == tuple(map(int, place))
    assert measured.worst_found == found[place]
    assert measured.worst_truth == truth[place]


def test_arrays_in_any_layout_and_read_only():
    truth = ramp(3, 4)
    found = np.asfortranarray(truth.float().numpy())
    found[2, 1] += 1
    for array in (found, found.T.copy().T, np.broadcast_to(found, (3, 4)), found[:, ::-1].copy()[:, ::-1]):
        array.flags.writeable = False
        measured = judged(array, truth)
        assert (measured.verdict, measured.worst_index) == (FAIL, (2, 1))


numbers = st.floats(-1e3, 1e3, allow_subnormal=False)
pairs = st.lists(st.tuples(numbers, numbers, st.integers()), min_size=1, max_size=20)


@settings(max_examples=80, deadline=None)
@given(pairs, st.floats(1e-9, 1e-2))
def test_the_order_of_elements_makes_no_difference(rows, scale):
    truth, noise, keys = (
        np.array(column, dtype) for column, dtype in zip(zip(*rows, strict=True), "ddO", strict=True)
    )
    found = truth + scale * noise
    order = np.argsort(keys, kind="stable")
    one, other = judged(found, truth), judged(found[order], truth[order])
    assert one.error_ort == pytest.approx(other.error_ort, rel=1e-9, abs=0)
    for border in (one.bound, 4 * one.bound):
        assume(not math.isclose(one.error_ort, border, rel_tol=1e-6))
    assert one.verdict is other.verdict
    if one.worst_index:
        largest = np.abs(found - truth).max()
        for measured in (one, other):
            assert abs(measured.worst_found - measured.worst_truth) == pytest.approx(largest)


@settings(max_examples=80, deadline=None)
@given(pairs, st.floats(1e-8, 1e-3), st.floats(1.01, 1e4))
def test_a_larger_error_never_has_a_better_verdict(rows, scale, more):
    truth, noise = (np.array(column) for column in list(zip(*rows, strict=True))[:2])
    assume(np.linalg.norm(noise) > 1e-6 * np.linalg.norm(truth))
    small, large = (judged(truth + factor * noise, truth) for factor in (scale, scale * more))
    assert small.error_ort <= large.error_ort
    assert ORDER.index(small.verdict) <= ORDER.index(large.verdict)


@settings(max_examples=60, deadline=None)
@given(st.lists(numbers, min_size=1, max_size=12), st.integers(0, 11), st.sampled_from([NAN, INF, -INF]))
def test_one_element_that_is_not_finite_is_enough(values, place, value):
    truth = np.array(values)
    found = truth.astype(np.float32)
    found[place % len(values)] = value
    measured = judged(found, truth, level=1e9)
    assert measured.verdict is FAIL
    assert measured.worst_index == (place % len(values),)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=12), st.data())
def test_one_integer_is_enough(values, data):
    truth = np.array(values)
    place = data.draw(st.integers(0, len(values) - 1))
    found = truth.copy()
    found[place] ^= data.draw(st.sampled_from([1, 1 << 20, 1 << 62]))
    measured = judged(found, truth, level=1e9)
    assert (measured.verdict, measured.worst_index) == (FAIL, (place,))
    assert measured.error_ort == pytest.approx(1 / len(values))
