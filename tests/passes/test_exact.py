"""Arithmetic on constants, against exact rational sums, and bit for bit whatever the blocks and layouts."""

from __future__ import annotations

import math
from fractions import Fraction

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from vampconv.passes.exact import (
    BY_ROWS,
    argmax,
    cast,
    divide,
    foldable,
    gather,
    matmul,
    reduce_max,
    reduce_sum,
    rounded,
    sum_by_halves,
)

CHECKED = settings(deadline=None, max_examples=60, derandomize=True, print_blob=True)
NUMBERS = st.floats(-1e6, 1e6, allow_subnormal=False)


def wide(shape):
    return arrays.arrays(np.float64, shape, elements=NUMBERS)


def halves(values):
    """The fixed order of the sum, number by number."""
    while len(values) > 1:
        half = (len(values) + 1) // 2
        head = values[:half]
        for i, value in enumerate(values[half:]):
            head[i] += value
        values = head
    return values[0] if values else 0.0


@CHECKED
@given(wide(st.integers(0, 40)))
def test_a_sum_is_taken_by_halves(x):
    assert sum_by_halves(x) == halves(x.tolist())


@CHECKED
@given(wide(st.integers(1, 300)))
def test_a_sum_is_within_its_bound_of_the_exact_one(x):
    exact = sum(map(Fraction, x.tolist()))
    assert math.fsum(x) == float(exact)
    depth = math.ceil(math.log2(len(x))) if len(x) > 1 else 0
    bound = depth * 2.0**-52 * math.fsum(np.abs(x))
    assert abs(Fraction(float(sum_by_halves(x))) - exact) <= bound


def test_a_sum_does_not_change_its_argument():
    x = np.arange(9.0)
    sum_by_halves(x)
    np.testing.assert_array_equal(x, np.arange(9.0))


@CHECKED
@given(wide((3, 4, 5)), st.sets(st.integers(-3, 2), max_size=3), st.booleans())
def test_reduce_sum_places_its_result_as_numpy_does(x, axes, keepdims):
    over = tuple({a % 3 for a in axes}) or (0, 1, 2)
    found = reduce_sum(x, np.array(list(axes), np.int64), keepdims=int(keepdims))
    wanted = x.sum(axis=over, keepdims=keepdims)
    assert np.shape(found) == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12 * np.abs(x).sum())


@CHECKED
@given(wide((4, 6)), wide((6, 3)))
def test_a_product_adds_its_terms_in_order(a, b):
    wanted = np.zeros((4, 3))
    for i in range(4):
        for j in range(3):
            for k in range(6):
                wanted[i, j] += float(a[i, k]) * float(b[k, j])
    np.testing.assert_array_equal(matmul(a, b), wanted)


@CHECKED
@given(wide((3, 8)), wide((8, 2)))
def test_a_product_is_within_its_bound_of_the_exact_one(a, b):
    found = matmul(a, b)
    for i in range(3):
        for j in range(2):
            exact = sum(
                Fraction(x) * Fraction(y) for x, y in zip(a[i].tolist(), b[:, j].tolist(), strict=True)
            )
            bound = 9 * 2.0**-53 * sum(abs(x * y) for x, y in zip(a[i], b[:, j], strict=True)) + 1e-300
            assert abs(Fraction(float(found[i, j])) - exact) <= 2 * bound


def layouts(x):
    yield np.asfortranarray(x)
    yield np.repeat(x, 2, axis=-1)[..., ::2]
    yield x[::-1].copy()[::-1]
    yield np.lib.stride_tricks.as_strided(x.copy(), x.shape, x.copy().strides)


@pytest.mark.parametrize("shape", [(7, 13), (1, 100), (64, 3)])
def test_the_memory_layout_does_not_change_a_bit(shape):
    random = np.random.default_rng(5)
    a, b = (
        random.standard_normal(shape) * 10.0 ** random.integers(-8, 8, shape),
        random.standard_normal(shape).T,
    )
    for x in layouts(a):
        assert matmul(x, b).tobytes() == matmul(a, b).tobytes()
        assert np.ascontiguousarray(sum_by_halves(x)).tobytes() == sum_by_halves(a).tobytes()
        for axes in ([0], [1], [0, 1]):
            one, other = (np.ascontiguousarray(reduce_sum(y, np.array(axes))) for y in (x, a))
            assert one.tobytes() == other.tobytes()
    for y in layouts(b):
        assert matmul(a, y).tobytes() == matmul(a, b).tobytes()


@pytest.mark.parametrize("rows", [1, 2, 7, 50])
def test_rows_do_not_depend_on_their_neighbours(rows):
    random = np.random.default_rng(6)
    a, b = random.standard_normal((50, 33)), random.standard_normal((33, 9))
    parts = [matmul(a[i : i + rows], b) for i in range(0, 50, rows)]
    assert np.concatenate(parts).tobytes() == matmul(a, b).tobytes()


@CHECKED
@given(st.lists(st.tuples(st.integers(-100, 100), st.integers(-9, 9).filter(bool)), min_size=1))
def test_integers_are_divided_towards_zero(pairs):
    a, b = np.array(pairs, np.int64).T
    assert divide(a, b).tolist() == [math.trunc(Fraction(x, y)) for x, y in pairs]
    assert divide(a, b).dtype == np.int64
    np.testing.assert_array_equal(divide(a / 1.0, b / 1.0), a / b)


def test_large_integers_are_divided_exactly():
    assert divide(np.array([2**62 + 1]), np.array([1])).item() == 2**62 + 1


def nearest_bfloat16(x):
    """The nearest bfloat16, ties to even, by exact comparison with its neighbours."""
    around = np.array(x, ml_dtypes.bfloat16)
    bits = int(around.view(np.uint16))
    near = [np.uint16(b).view(ml_dtypes.bfloat16) for b in (bits - 1, bits, bits + 1) if 0 <= b < 1 << 16]
    finite = [n for n in near if np.isfinite(float(n))]
    return min(finite, key=lambda n: (abs(Fraction(float(n)) - Fraction(x)), int(n.view(np.uint16)) & 1))


@CHECKED
@given(st.floats(2.0**-100, 2.0**100) | st.integers(0, 2**9).map(lambda n: 1 + n * 2.0**-8 + 2.0**-40))
def test_numbers_are_rounded_once_to_bfloat16(x):
    for value in (x, -x):
        found = rounded(np.array([value]), np.dtype(ml_dtypes.bfloat16))[0]
        assert float(found) == float(nearest_bfloat16(value))


def test_numbers_between_two_are_rounded_once_to_every_type():
    above = np.array([1 + 2**-8 + 2**-40, 1 + 2**-11 + 2**-40, 1 + 2**-24 + 2**-50])
    assert rounded(above[:1], np.dtype(ml_dtypes.bfloat16)) == 1 + 2**-7
    assert rounded(above[1:2], np.dtype(np.float16)) == 1 + 2**-10
    assert rounded(above[2:], np.dtype(np.float32)) == np.float32(1 + 2**-23)
    kept = np.array([np.nan, np.inf, -np.inf, 1e300, -0.0])
    with np.errstate(over="ignore"):
        found = rounded(kept, np.dtype(ml_dtypes.bfloat16)).astype(np.float64)
    np.testing.assert_array_equal(found, [np.nan, np.inf, -np.inf, np.inf, -0.0])
    assert np.signbit(found[-1])


def test_gather_takes_rows_by_any_shape_of_indices():
    x = np.arange(12).reshape(4, 3)
    np.testing.assert_array_equal(gather(x, np.array([[0, 3]])), x[[[0, 3]]])
    np.testing.assert_array_equal(gather(x, np.array(1), axis=1), x[:, 1])


@CHECKED
@given(arrays.arrays(np.int8, (3, 5, 4), elements=st.integers(0, 2)), st.integers(-3, 2), st.booleans())
def test_the_largest_is_the_first_or_last_of_equal_ones(x, axis, last):
    found = argmax(x, axis=axis, keepdims=0, select_last_index=int(last))
    for place in np.ndindex(found.shape):
        row = np.moveaxis(x, axis, -1)[place].tolist()
        equal = [i for i, value in enumerate(row) if value == max(row)]
        assert found[place] == equal[-1 if last else 0]
    assert found.dtype == np.int64
    kept = argmax(x, axis=axis, select_last_index=int(last))
    np.testing.assert_array_equal(kept, np.expand_dims(found, axis))


def test_the_largest_is_sought_along_the_first_axis_by_default():
    x = np.array([[1.0, 5.0], [1.0, 2.0], [0.0, 5.0]])
    assert argmax(x).tolist() == [[0, 0]]
    assert argmax(x, select_last_index=1).tolist() == [[1, 2]]
    assert argmax(-np.abs(x) * 0 - 0.0, select_last_index=1).tolist() == [[2, 2]]


def test_signs_and_maxima_are_those_of_onnx():
    x = np.array([-np.inf, -2.0, -0.0, 0.0, 1e-300, np.nan])
    np.testing.assert_array_equal(BY_ROWS["Sign"](x), [-1, -1, 0, 0, 1, np.nan])
    np.testing.assert_array_equal(BY_ROWS["Max"](x, 1e-12), [1e-12, 1e-12, 1e-12, 1e-12, 1e-12, np.nan])


def test_small_integers_are_whole_numbers_of_their_type():
    x = np.array([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 126.5, -127.0])
    whole = BY_ROWS["Round"](x)
    assert whole.tolist() == [-2, -2, 0, 0, 2, 2, 126, -127]
    assert rounded(cast(whole, to=3), np.dtype(np.int8)).tolist() == whole.tolist()
    assert cast(np.array([1.9, -1.9, 0.0]), to=2).tolist() == [1, -1, 0]


@CHECKED
@given(arrays.arrays(np.float64, (3, 5, 4), elements=st.floats(-9, 9)), st.sets(st.integers(-3, 2)))
def test_the_largest_of_some_axes(x, axes):
    over = sorted({axis % 3 for axis in axes}) or [0, 1, 2]
    for found in (reduce_max(x, list(axes)), reduce_max(x, np.array(sorted(axes), np.int64))):
        assert found.shape == tuple(1 if a in over else n for a, n in enumerate(x.shape))
        for place in np.ndindex(found.shape):
            among = x[tuple(slice(None) if a in over else i for a, i in enumerate(place))]
            assert found[place] == max(among.ravel().tolist())
    assert reduce_max(x, list(axes), keepdims=0).size == found.size


def test_what_can_be_folded():
    assert foldable("ReduceMax", [(3, 4)], {"axes": [0]})
    assert not foldable("ReduceMax", [(3, 0)], {})
    assert not foldable("ReduceMax", [(3, 4), (0,)], {"noop_with_empty_axes": 1})
    assert foldable("Cast", [(3,)], {"to": 3})
    assert not foldable("Cast", [(3,)], {"to": 8})
    assert not foldable("Cast", [(3,)], {"to": 1})
    assert foldable("Sign", [(3,)], {})
    assert foldable("ArgMax", [(3, 4)], {"axis": 1})
    assert foldable("Max", [(3,), ()], {})
    assert not foldable("Max", [(3,)], {})
    assert not foldable("Max", [(3,), (3,), (3,)], {})
    assert not foldable("ArgMin", [(3, 4)], {"axis": 1})
    assert foldable("Add", [(3,), (3,)], {})
    assert foldable("MatMul", [(3, 4), (4, 2)], {})
    assert not foldable("MatMul", [(2, 3, 4), (4, 2)], {})
    assert not foldable("MatMul", [(4,), (4, 2)], {})
    assert not foldable("ReduceSum", [(3, 4)], {})
    assert not foldable("ReduceSum", [(3, 4), (0,)], {"noop_with_empty_axes": 1})
    assert not foldable("Softmax", [(3,)], {})
