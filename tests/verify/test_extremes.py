"""What stands out: where something first is not finite, what is near the end of float16, maps of the worst errors."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vampconv.verify.compare import compare, relative
from vampconv.verify.extremes import CELLS, HALF, MAPS, Extremes, error_map
from vampconv.verify.result import Case, Comparison, NonFinite, PartResult

NAN, INF = math.nan, math.inf
CASE, OTHER = Case(1, 2, 0), Case(1, 3, 0)


def see(extremes, value, found, truth, case=CASE, stands_for="module"):
    """Let a value pass by, with the comparison that it has."""
    found, truth = np.asarray(found, np.float32), torch.as_tensor(truth, dtype=torch.float64)
    m = compare(found, truth, 0.0)
    row = Comparison(
        value,
        stands_for,
        f"of {value}",
        (),
        case,
        m.shape,
        m.error_ort,
        0.0,
        m.bound,
        m.verdict,
        problem=m.problem,
    )
    extremes.see(row, found, truth)


def result(extremes):
    part = PartResult("part")
    extremes.put_into(part)
    return part


@pytest.mark.parametrize("value", [NAN, INF, -INF])
def test_the_first_value_that_is_not_finite_on_each_side_of_each_case(value):
    extremes = Extremes()
    see(extremes, "a", [1, 2], [1, 2])
    see(extremes, "b", [1, value], [1, 2])
    see(extremes, "c", [1, value], [1, value])
    see(extremes, "d", [value, value], [1, value])
    see(extremes, "c", [1, 2], [1, value], OTHER)
    assert result(extremes).non_finite == [
        NonFinite("graph", "b", "of b", CASE),
        NonFinite("reference", "c", "of c", CASE),
        NonFinite("reference", "c", "of c", OTHER),
    ]


def test_what_the_graph_alone_has_is_not_told_of_the_reference():
    """The truth of such a value is the graph in float64, with the same constants."""
    extremes = Extremes()
    see(extremes, "a", [NAN, 2], [NAN, 2], stands_for="")
    assert [n.side for n in result(extremes).non_finite] == ["graph"]


def test_an_overflow_of_float32_is_told_of_the_reference_as_well():
    extremes = Extremes()
    found, truth = np.array([1, INF], np.float32), torch.tensor([1, 1e39], dtype=torch.float64)
    near = relative(truth.float(), truth)
    row = Comparison("v", "m", "m", (), CASE, (2,), INF, near, 1e-6, compare(found, truth, near).verdict)
    extremes.see(row, found, truth)
    assert [n.side for n in result(extremes).non_finite] == ["graph", "reference in float32"]


def test_finite_values_leave_nothing_to_tell():
    extremes = Extremes()
    see(extremes, "a", [1, 2], [1, 2.5])
    assert result(extremes).non_finite == []


def test_values_near_the_end_of_float16_or_the_largest():
    extremes = Extremes()
    for value, size in (("small", 3), ("large", 100), ("middle", -50)):
        see(extremes, value, [1, size], [1, size])
    assert [(r.value, r.module, r.largest) for r in result(extremes).head_room] == [
        ("large", "of large", 100)
    ]
    for value, size in (("tight", HALF / 15), ("loose", HALF / 17), ("beyond", -2 * HALF)):
        see(extremes, value, [1, size], [1, size])
    assert [r.value for r in result(extremes).head_room] == ["beyond", "tight"]


def test_the_largest_of_all_cases_counts_and_nothing_is_larger_than_nan():
    extremes = Extremes()
    for case, size in ((CASE, 5), (OTHER, 7), (CASE, 6)):
        see(extremes, "a", [size], [size], case)
    assert result(extremes).head_room[0].largest == 7
    for size in (NAN, 9):
        see(extremes, "a", [size, 1], [size, 1])
    assert math.isnan(result(extremes).head_room[0].largest)
    assert result(Extremes()).head_room == []


def test_maps_of_the_worst_values_only():
    extremes = Extremes()
    for value, off in (("a", 1e-6), ("b", 3e-3), ("c", 0), ("d", 1e-5), ("e", 2e-3), ("f", NAN)):
        see(extremes, value, [[1, 1 + off]], [[1, 1]])
    assert len(extremes.worst) == MAPS
    assert list(result(extremes).heat_maps) == ["b", "e", "f"]


@pytest.mark.parametrize("shape", [(), (1,), (5,), (2, 3), (2, 3, 4), (2, 1, 3, 5)])
def test_maps_of_values_of_any_rank(shape):
    truth = torch.ones(shape).double()
    found = np.full(shape, 1.5, np.float32)
    cells = error_map(found, truth)
    rows, columns = ((1, 1), *((1, n) for n in shape[-1:]), shape[-2:])[min(len(shape), 2)]
    assert (len(cells), len(cells[0])) == (rows, columns)
    assert {cell for row in cells for cell in row} == {0.5}
    extremes = Extremes()
    see(extremes, "a", found, truth)
    assert result(extremes).heat_maps == {"a": cells}


def test_cells_are_means_over_the_scale_of_the_truth():
    truth = torch.full((2, 3 * CELLS, 2), 4.0).double()
    found = truth.float().numpy()
    found[1, 5, 1] += 12
    cells = error_map(found, truth)
    assert (len(cells), len(cells[0])) == (CELLS, 2)
    assert cells[1][1] == pytest.approx(12 / 2 / 3 / 4)
    assert sum(sum(row) for row in cells) == cells[1][1]


def test_what_is_no_number_or_does_not_fit_is_passed_over():
    extremes = Extremes()
    see(extremes, "a", np.zeros((0, 2)), np.zeros((0, 2)))
    see(extremes, "b", np.ones((1, 2)), np.ones((2, 2)))
    row = Comparison("c", "", "", (), CASE, (1,), 1.0, 0.0, 1.0, "fail")
    extremes.see(row, np.array([3]), torch.tensor([4]))
    assert result(extremes).heat_maps == {}
    assert [r.value for r in result(extremes).head_room] == ["b"]
