"""Relative attention bias: computed once for all layers, from a table over clipped distances."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Exact, Guard, Match, Refused, Rule, Sample, Stage, V

FLOAT, INTEGER = 1, 7
THRESHOLDS = (8, 12, 16, 23, 32, 46, 64, 91)
"""Distances at which buckets 8 … 15 begin, for 32 buckets and a maximal distance of 128."""


class ShareRelativePositionBias(Rule):
    """Two biases of one length and one table are one."""

    stage = Stage.CANONICAL
    claim = Exact()

    @staticmethod
    def before(op: Ops, length: V, table: V, max_distance: V) -> tuple[V, V]:
        first = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
        second = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
        return first, second

    @staticmethod
    def after(op: Ops, length: V, table: V, max_distance: int) -> tuple[V, V]:
        bias = vamp(op).RelativePositionBias(length, table, max_distance=max_distance)
        return bias, bias

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(length=draw.length("time"), table=draw(32, 3), max_distance=128)
        yield Sample(length=draw.length("time"), table=draw(8, 2), max_distance=20)


class LowerRelativePositionBias(Rule):
    """The bias of a pair is a column of a folded table, chosen by its distance clipped to ±91.

    Bucket numbers are folded at conversion, so no logarithm is left in the graph, and no rounding.
    """

    stage = Stage.LOWER
    claim = Exact()

    @staticmethod
    def before(op: Ops, length: V, table: V, max_distance: V) -> V:
        return vamp(op).RelativePositionBias(length, table, max_distance=max_distance)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m["max_distance"] == 128, "the thresholds are for a maximal distance of 128"
        yield m.size("table", 0) == 32, "the thresholds are for 32 buckets"

    @staticmethod
    def after(op: Ops, length: V, table: V) -> V:
        far = THRESHOLDS[-1]
        distances = np.arange(-far, far + 1)
        by_head = op.Transpose(op.Gather(table, buckets(distances), axis=0), perm=[1, 0])
        positions = op.Range(0, op.Squeeze(length, [0]), 1)
        difference = op.Sub(op.Unsqueeze(positions, [0]), op.Unsqueeze(positions, [1]))
        column = op.Add(op.Clip(difference, -far, far), far)
        return op.Unsqueeze(op.Gather(by_head, column, axis=1), [0])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(length=draw.length("time"), table=draw(32, 4), max_distance=128)
        yield Sample(length=draw.length("long"), table=draw(32, 1), max_distance=128)
        yield Refused("maximal distance", length=draw.length("time"), table=draw(32, 4), max_distance=64)
        yield Refused("32 buckets", length=draw.length("time"), table=draw(16, 4), max_distance=128)


def buckets(distances: np.ndarray) -> np.ndarray:
    """Bucket of each signed distance ``key − query``, clipped to ±91, by the thresholds."""
    size = np.abs(distances)
    logarithmic = 7 + np.searchsorted(THRESHOLDS, size, side="right")
    return np.where(size < 8, size, logarithmic) + 16 * (distances > 0)


class RaisePositionBias(Rule):
    """A row of the table for each bucket of a distance clipped to ±91, the buckets listed, is the bias of T5."""

    stage = Stage.RAISE
    claim = Exact()

    @staticmethod
    def before(op: Ops, length: V, table: V, listed: V) -> V:
        far = THRESHOLDS[-1]
        positions = op.Range(0, length, 1)
        difference = op.Sub(op.Unsqueeze(positions, [0]), op.Unsqueeze(positions, [1]))
        column = op.Add(op.Clip(difference, -far, far), far)
        bucket = op.either(
            lambda: op.Gather(listed, column, axis=0),
            lambda: op.GatherND(listed, op.Unsqueeze(column, [-1]), batch_dims=0),
        )
        by_head = op.Transpose(op.Gather(table, bucket, axis=0), perm=[2, 0, 1])
        return op.Unsqueeze(by_head, [1])

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("table"), "it is not in float32"
        yield m.size("table", 0) == 32 and len(m.shape("table") or ()) == 2, "the table has no 32 buckets"
        far = THRESHOLDS[-1]
        listed = m.constant("listed")
        same = listed is not None and np.array_equal(listed, buckets(np.arange(-far, far + 1)))
        yield same, "the buckets are not those of T5 for a maximal distance of 128"

    @staticmethod
    def after(op: Ops, length: V, table: V) -> V:
        bias = vamp(op).RelativePositionBias(op.Unsqueeze(length, [0]), table, max_distance=128)
        return op.Transpose(bias, perm=[1, 0, 2, 3])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        far = THRESHOLDS[-1]
        listed = buckets(np.arange(-far, far + 1))
        yield Sample(length=draw.count("time"), table=draw(32, 3), listed=listed)
        yield Sample(length=draw.count("long"), table=draw(32, 1), listed=listed)
        yield Refused("no 32", length=draw.count("time"), table=draw(33, 3), listed=listed)
        other = listed.copy()
        other[far + 8] -= 1
        for wrong in (other, listed[::-1].copy()):
            yield Refused("not those of T5", length=draw.count("time"), table=draw(32, 3), listed=wrong)
        table = draw(32, 3).astype(np.float64)
        yield Refused("float32", length=draw.count("time"), table=table, listed=listed)


class RaiseT5Bias(Rule):
    """The logarithmic buckets of T5, computed as in its paper's code, are those of ``RelativePositionBias``.

    In float32, as they are always computed, the quotient of the logarithms falls on the thresholds.
    """

    stage = Stage.RAISE
    claim = Exact()

    @staticmethod
    def before(op: Ops, length: V, table: V) -> V:
        positions = op.Range(0, length, 1)
        difference = op.Sub(op.Unsqueeze(positions, [0]), op.Unsqueeze(positions, [1]))
        right = op.Mul(op.Cast(op.Greater(difference, 0), to=INTEGER), 16)
        distance = op.Abs(difference)
        logarithm = op.Log(op.Div(op.Cast(distance, to=FLOAT), 8.0))
        steps = op.Cast(op.Mul(op.Div(logarithm, math.log(16)), 8.0), to=INTEGER)
        far = op.Min(op.Add(steps, 8), 15)
        bucket = op.Add(right, op.Where(op.Less(distance, 8), distance, far))
        return op.Unsqueeze(op.Transpose(op.Gather(table, bucket, axis=0), perm=[2, 0, 1]), [0])

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("table"), "it is not in float32"
        yield m.size("table", 0) == 32 and len(m.shape("table") or ()) == 2, "the table has no 32 buckets"

    @staticmethod
    def after(op: Ops, length: V, table: V) -> V:
        return vamp(op).RelativePositionBias(op.Unsqueeze(length, [0]), table, max_distance=128)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(length=draw.count("time"), table=draw(32, 3))
        yield Refused("no 32", length=draw.count("time"), table=draw(33, 3))
        yield Refused("float32", length=draw.count("time"), table=draw(32, 3).astype(np.float64))


RULES = (RaisePositionBias, RaiseT5Bias, ShareRelativePositionBias, LowerRelativePositionBias)
