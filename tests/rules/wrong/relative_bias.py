"""Wrong position biases."""

from __future__ import annotations

import numpy as np
from vampconv_rules.relative_bias import THRESHOLDS, LowerRelativePositionBias, ShareRelativePositionBias

from vampconv.dialect import vamp
from vampconv.rewrite import Sample

from .variant import also, unguarded, wrong


def bias(op, length, table, *, thresholds=THRESHOLDS, far=91, right=1, sign=1, first=7, exact=8, query=1):
    """The lowering with one part exchanged."""
    distances = sign * np.arange(-far, far + 1)
    size = np.abs(distances)
    logarithmic = first + np.searchsorted(thresholds, size, side="right")
    bucket = np.where(size < exact, size, logarithmic) + 16 * (right * distances > 0)
    by_head = op.Transpose(op.Gather(table, bucket, axis=0), perm=[1, 0])
    positions = op.Range(0, op.Squeeze(length, [0]), 1)
    difference = op.Sub(op.Unsqueeze(positions, [1 - query]), op.Unsqueeze(positions, [query]))
    column = op.Add(op.Clip(difference, -far, far), far)
    return op.Unsqueeze(op.Gather(by_head, column, axis=1), [0])


def shifted(index, by):
    return tuple(t + by * (i == index) for i, t in enumerate(THRESHOLDS))


MISTAKES = {
    f"threshold {t} at {t + by}": {"thresholds": shifted(i, by), "far": 92}
    for i, t in enumerate(THRESHOLDS)
    for by in (-1, 1)
    if t + by > 7
} | {
    "exact below 7 only": {"exact": 6},
    "exact up to 9": {"exact": 10},
    "buckets from 9": {"first": 8},
    "buckets from 7": {"first": 6},
    "clip at 90": {"far": 90},
    "clip at 64": {"far": 64},
    "+16 to the left": {"right": -1},
    "+16 on neither side": {"right": 0},
    "the sign swapped": {"sign": -1},
    "query after key": {"query": 0},
    "the thresholds of another distance": {"thresholds": (8, 11, 14, 18, 24, 32, 42, 56)},
}

for mistake, parts in MISTAKES.items():

    @wrong(LowerRelativePositionBias, mistake)
    def _after(op, length, table, parts=parts):
        return bias(op, length, table, **parts)


@wrong(LowerRelativePositionBias, "+16 on the diagonal too")
def _after(op, length, table):
    turned = np.arange(32)
    turned[0] = 16
    return bias(op, length, op.Gather(table, turned, axis=0))


@wrong(LowerRelativePositionBias, "the table's halves exchanged")
def _after(op, length, table):
    return bias(op, length, op.Gather(table, np.roll(np.arange(32), 16), axis=0))


@wrong(LowerRelativePositionBias, "the table transposed")
def _after(op, length, table, m):
    heads = m.size("table", 1)
    return bias(op, length, op.Reshape(op.Transpose(table, perm=[1, 0]), [32, heads]))


@wrong(LowerRelativePositionBias, "heads last")
def _after(op, length, table):
    return op.Transpose(bias(op, length, table), perm=[0, 2, 3, 1])


@wrong(LowerRelativePositionBias, "no axis for the batch")
def _after(op, length, table):
    return op.Squeeze(bias(op, length, table), [0])


@wrong(LowerRelativePositionBias, "one step fewer")
def _after(op, length, table):
    return bias(op, op.Sub(length, 1), table)


@wrong(LowerRelativePositionBias, "13 steps, whatever the length")
def _after(op, length, table):
    return bias(op, op.Add(op.Mul(length, [0]), [13]), table)


also(LowerRelativePositionBias, "unguarded", require=unguarded)
also(
    LowerRelativePositionBias,
    "any maximal distance",
    require=lambda m: [(m.size("table", 0) == 32, "the thresholds are for 32 buckets")],
)
also(
    LowerRelativePositionBias,
    "any number of buckets",
    require=lambda m: [(m["max_distance"] == 128, "the thresholds are for a maximal distance of 128")],
)


def two_tables(op, length, table, other, max_distance):
    first = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
    return first, vamp(op).RelativePositionBias(length, other, max_distance=max_distance)


def two_tables_drawn(draw):
    yield Sample(length=draw.length("time"), table=draw(32, 3), other=draw(32, 3), max_distance=128)


@wrong(ShareRelativePositionBias, "evidence that lacks an argument", before=two_tables)
def _after(op, length, table, max_distance):
    shared = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
    return shared, shared


@wrong(ShareRelativePositionBias, "biases of two tables", evidence=two_tables_drawn, before=two_tables)
def _after(op, length, table, max_distance):
    shared = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
    return shared, shared


@wrong(ShareRelativePositionBias, "drops the second")
def _after(op, length, table, max_distance):
    return vamp(op).RelativePositionBias(length, table, max_distance=max_distance)


@wrong(ShareRelativePositionBias, "shares nothing")
def _after(op, length, table, max_distance):
    first = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
    return first, vamp(op).RelativePositionBias(length, table, max_distance=max_distance)


@wrong(ShareRelativePositionBias, "another maximal distance")
def _after(op, length, table):
    shared = vamp(op).RelativePositionBias(length, table, max_distance=64)
    return shared, shared


@wrong(ShareRelativePositionBias, "the second is the first, transposed")
def _after(op, length, table, max_distance):
    shared = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
    return shared, op.Transpose(shared, perm=[0, 1, 3, 2])
