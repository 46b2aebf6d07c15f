"""NearestCode: the nearest row of a table by a product and an arg-max."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.dialect.vector_quantize import TINY
from vampconv.rewrite import Close, Draw, Exact, Guard, Match, Refused, Rule, Sample, Stage, V


def _norm(op: Ops, x: V, rank: int) -> V:
    return op.Sqrt(op.ReduceSum(op.Mul(x, x), [rank - 1], keepdims=1))


def unit_rows(op: Ops, x: V, rank: int) -> V:
    return op.Div(x, op.Max(_norm(op, x, rank), TINY))


def scores(op: Ops, latents: V, table: V) -> V:
    """``a·b − |b|²/2 + 1/2`` for a = `latents` and the rows b of the normalised table.

    ``|b|`` is a norm over itself, which is 1 without rounding, but for rows shorter than `TINY`.
    """
    rows, norm = op.Transpose(unit_rows(op, table, 2), perm=[1, 0]), _norm(op, table, 2)
    of_rows = op.Div(norm, op.Max(norm, TINY))
    of_short = op.Sub(0.5, op.Mul(op.Mul(of_rows, of_rows), 0.5))
    return op.Add(op.MatMul(latents, rows), op.Transpose(of_short, perm=[1, 0]))


def short_rows(draw: Draw) -> V:
    """A table of two rows of zeros, two that are shorter than `TINY`, and one that is not."""
    table = draw(9, 6)
    table[2] = table[6] = 0
    table[3] *= 0.1 * TINY
    table[4] *= 0.3 * TINY
    table[7] *= 100 * TINY
    return table


class RaiseUnitRows(Rule):
    """A constant table over the norms of its rows, no less than 1e-12, in operations that are folded."""

    stage = Stage.RAISE
    claim = Close(rtol=1e-6, atol=0)

    @staticmethod
    def before(op: Ops, table: V, axes: V) -> V:
        norm = op.either(
            lambda: op.ReduceL2(table, axes, keepdims=1), lambda: op.ReduceL2(table, axes=axes, keepdims=1)
        )
        return op.Div(table, op.Clip(norm, TINY))

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("table"), "it is not in float32"
        yield m.is_constant("table"), "the table is not a constant"
        yield len(m.shape("table") or ()) == 2 and m.is_last_axis("axes", of="table"), "not the norms of rows"

    @staticmethod
    def after(op: Ops, table: V) -> V:
        return unit_rows(op, table, 2)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(table=draw(9, 4), axes=[1])
        yield Sample(table=_with_zeros(draw), axes=[-1])
        yield Refused("norms of rows", table=draw(4, 4), axes=[0])
        yield Refused("not a constant", table=draw("batch", 4), axes=[1])
        yield Refused("float32", table=draw(4, 4).astype(np.float64), axes=[1])


class RaiseNearestCode(Rule):
    """The greatest ``−(|a|² − 2·a·b + |b|²)`` of normalised a and rows b is the ``NearestCode``."""

    stage = Stage.RAISE
    claim = Exact()

    @staticmethod
    def before(op: Ops, latents: V, columns: V, squares: V, axes: V) -> V:
        norm = op.either(
            lambda: op.ReduceL2(latents, axes, keepdims=1),
            lambda: op.ReduceL2(latents, axes=axes, keepdims=1),
        )
        unit = op.Div(latents, op.Clip(norm, TINY))
        own = op.ReduceSum(op.either(lambda: op.Mul(unit, unit), lambda: op.Pow(unit, 2.0)), [-1], keepdims=1)
        distance = op.Add(op.Sub(own, op.MatMul(op.Mul(unit, 2.0), columns)), squares)
        return op.ArgMax(op.Neg(distance), axis=-1, keepdims=0, select_last_index=0)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("latents", "columns", "squares"), "it is not in float32"
        rank = len(m.shape("latents") or ())
        yield (
            rank == 3 and m.is_last_axis("axes", of="latents"),
            "the latents are not along the last of three axes",
        )
        columns, squares = m.constant("columns"), m.constant("squares")
        yield columns is not None and squares is not None, "the rows are not constants"
        assert columns is not None
        assert squares is not None
        own = (columns.astype(np.float64) ** 2).sum(axis=0)
        yield columns.ndim == 2 and _are_units(own), "the rows are not normalised"
        yield (
            squares.shape == own.shape and bool(np.allclose(squares, own, rtol=1e-6, atol=0)),
            "not their squares",
        )

    @staticmethod
    def after(op: Ops, latents: V, columns: V) -> V:
        return vamp(op).NearestCode(latents, op.Transpose(columns, perm=[1, 0]))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for table in (draw(50, 8), draw(30, 8, scale=1e3), _with_zeros(draw)):
            columns, squares = unit_columns(table)
            axes = [-1]
            yield Sample(latents=draw("batch", "long", 8), columns=columns, squares=squares, axes=axes)
            yield Sample(
                latents=draw("batch", "time", 8, scale=1e-4), columns=columns, squares=squares, axes=[2]
            )
        good: dict[str, V] = {
            "latents": draw("batch", 8, 8),
            "columns": columns,
            "squares": squares,
            "axes": axes,
        }
        yield Refused("normalised", **{**good, "columns": 2 * columns})
        yield Refused("squares", **{**good, "squares": 0.5 * squares})
        yield Refused("last of three", **{**good, "axes": [1]})
        yield Refused("not constants", **{**good, "columns": draw.input(8, 50)})
        floats = {k: v.astype(np.float64) for k, v in good.items() if k != "axes"}
        yield Refused("float32", axes=axes, **floats)


def _are_units(squares: V) -> bool:
    return bool(((np.abs(squares - 1) <= 1e-6) | (squares == 0)).all())


def unit_columns(table: V) -> tuple[V, V]:
    """The rows, normalised, as columns; and their squared norms."""
    norms = np.maximum(np.sqrt((table**2).sum(axis=1, keepdims=True)), TINY)
    columns = np.ascontiguousarray((table / norms).T)
    return columns, (columns**2).sum(axis=0)


def _with_zeros(draw: Draw) -> V:
    table = draw(9, 8)
    table[4] = 0
    return table


class NearestByProduct(Rule):
    """The least ``|a − b|² = |a|² − 2·a·b + |b|²`` is the greatest ``a·b − |b|²/2``.

    ``|a|²`` is the same for all rows and falls away; ``|b|²`` is 1 (0 for a row of zeros), which is
    written without rounding, so that equal rows, doubled or not, have equal scores. a stays normalised, so
    that the scores are rounded alike at every loudness. Arg-max takes the first of equal scores.
    """

    stage = Stage.LOWER
    claim = Exact()

    @staticmethod
    def before(op: Ops, latents: V, table: V) -> V:
        return vamp(op).NearestCode(latents, table)

    @staticmethod
    def after(op: Ops, latents: V, table: V) -> V:
        return op.ArgMax(
            scores(op, unit_rows(op, latents, 3), table), axis=-1, keepdims=0, select_last_index=0
        )

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(latents=draw("batch", "long", 8), table=draw(50, 8))
        yield Sample(latents=draw("batch", "time", 8, scale=1e-4), table=draw(30, 8, scale=1e3))
        twice = draw(20, 4)
        twice[7], twice[12] = twice[3], 2 * twice[3]
        yield Sample(latents=draw("batch", "long", 4), table=twice)
        with_zeros = draw(3, 6)
        with_zeros[1] = 0
        yield Sample(latents=draw("batch", "long", 6), table=with_zeros)
        for scale in (1.0, 1e-4, 0.3 * TINY, 0.0):
            yield Sample(latents=draw("batch", "long", 6, scale=scale), table=short_rows(draw))
        yield Sample(latents=draw("batch", "time", 4) * 0, table=draw(9, 4))


RULES = (RaiseUnitRows, RaiseNearestCode, NearestByProduct)
