"""Products and tables in float16, for runtimes on graphics processors and in browsers.

What surrounds them stays in float32: norms, softmax, activations, sums of residuals. So each product is
given its arguments narrowed, and gives its result widened; only what a product itself puts out can overflow.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops
from vampconv.rewrite import Draw, Exact, Guard, Match, Near, Refused, Rule, Sample, Stage, V

FLOAT, HALF = 1, 10
CLAIM = Near(1e-3)
"""Arguments and result are each off by up to 2⁻¹¹."""


class HalfProduct(Rule):
    """``a · b`` in float16; either may be a weight."""

    stage = Stage.TARGET
    precision = "fp16"
    claim = CLAIM

    @staticmethod
    def before(op: Ops, a: V, b: V) -> V:
        return op.MatMul(a, b)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("a", "b"), "it is not in float32"
        yield not (m.is_weight("a") and m.is_weight("b")), "it is a product of constants"

    @staticmethod
    def after(op: Ops, a: V, b: V) -> V:
        return _wide(op, op.MatMul(_narrow(op, a), _narrow(op, b)))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(a=draw("batch", "time", 24), b=draw(24, 20))
        yield Sample(a=draw("batch", 2, "time", 24), b=draw("batch", 2, 24, "time", scale=30))
        yield Sample(a=draw(20, 24), b=draw("batch", 24, "time"))
        yield Refused("product of constants", a=draw(3, 4), b=draw(4, 5))
        yield Refused("float32", a=draw("time", 24).astype(np.float64), b=draw(24, 20).astype(np.float64))


class HalfTable(Rule):
    """Rows of a table that lies in float16."""

    stage = Stage.TARGET
    precision = "fp16"
    claim = CLAIM

    @staticmethod
    def before(op: Ops, table: V, rows: V, axis: V) -> V:
        return op.Gather(table, rows, axis=axis)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("table"), "it is not in float32"
        yield m.is_weight("table"), "the table is not a constant"
        yield not m.is_weight("rows"), "the rows are known when it is converted"
        yield len(m.shape("table") or ()) >= 2, "it is a list of numbers, and no table"

    @staticmethod
    def after(op: Ops, table: V, rows: V, axis: int) -> V:
        return _wide(op, op.Gather(_narrow(op, table), rows, axis=axis))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        table, rows = draw(30, 20), draw.integers(0, 29, "batch", "time")
        yield Sample(table=table, rows=rows, axis=0)
        yield Sample(table=draw(20, 30), rows=rows, axis=1)
        yield Refused("not a constant", table=draw.input(30, 20), rows=rows, axis=0)
        yield Refused("known", table=table, rows=draw.integers(0, 29, 4), axis=0)
        yield Refused("no table", table=draw(30), rows=rows, axis=0)
        yield Refused("float32", table=table.astype(np.float64), rows=rows, axis=0)


class NarrowBeforeTranspose(Rule):
    """What is narrowed after it was transposed is so before."""

    stage = Stage.TARGET
    precision = "fp16"
    claim = Exact()

    @staticmethod
    def before(op: Ops, x: V, perm: V) -> V:
        return _narrow(op, op.Transpose(x, perm=perm))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x"), "it is not in float32"
        yield not m.is_weight("x"), "it is a constant, which is narrowed when it is written"

    @staticmethod
    def after(op: Ops, x: V, perm: list[int]) -> V:
        return op.Transpose(_narrow(op, x), perm=perm)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 5), perm=[1, 2, 0])
        yield Refused("constant", x=draw(4, 5), perm=[1, 0])
        yield Refused("float32", x=draw("batch", "time", 5).astype(np.float64), perm=[1, 2, 0])


class NarrowBeforeReshape(Rule):
    """What is narrowed after it was given another shape is so before."""

    stage = Stage.TARGET
    precision = "fp16"
    claim = Exact()

    @staticmethod
    def before(op: Ops, x: V, shape: V) -> V:
        return _narrow(op, op.Reshape(x, shape))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x"), "it is not in float32"
        yield not m.is_weight("x"), "it is a constant, which is narrowed when it is written"

    @staticmethod
    def after(op: Ops, x: V, shape: V) -> V:
        return op.Reshape(_narrow(op, x), shape)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 6), shape=np.array([0, 0, 2, 3]))
        yield Refused("constant", x=draw(4, 6), shape=np.array([8, 3]))
        yield Refused("float32", x=draw("time", 6).astype(np.float64), shape=np.array([0, 2, 3]))


class NarrowOnce(Rule):
    """What was widened and is narrowed again is what it was."""

    stage = Stage.TARGET
    precision = "fp16"
    claim = Exact()

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return _narrow(op, _wide(op, x))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.dtype("x") == HALF, "it is not in float16"

    @staticmethod
    def after(_op: Ops, x: V) -> V:
        return x

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 5).astype(np.float16))
        yield Refused("float16", x=draw("batch", "time", 5))


def _narrow(op: Ops, x: V) -> V:
    return op.Cast(x, to=HALF)


def _wide(op: Ops, x: V) -> V:
    return op.Cast(x, to=FLOAT)


RULES = (
    HalfProduct,
    HalfTable,
    NarrowBeforeTranspose,
    NarrowBeforeReshape,
    NarrowOnce,
)
