"""Vector quantisation: the nearest row by a product and an arg-max; the way back by one lookup."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.dialect.vector_quantize import TINY
from vampconv.rewrite import Close, Draw, Exact, Fails, Guard, Match, Refused, Rule, Sample, Stage, V


def _norm(op: Ops, x: V, rank: int) -> V:
    return op.Sqrt(op.ReduceSum(op.Mul(x, x), [rank - 1], keepdims=1))


def _unit(op: Ops, x: V, rank: int) -> V:
    return op.Div(x, op.Max(_norm(op, x, rank), TINY))


def _scores(op: Ops, latents: V, table: V) -> V:
    """``a·b − |b|²/2 + 1/2`` for a = `latents` and the rows b of the normalised table.

    ``|b|`` is a norm over itself, which is 1 without rounding, but for rows shorter than `TINY`.
    """
    rows, norm = op.Transpose(_unit(op, table, 2), perm=[1, 0]), _norm(op, table, 2)
    of_rows = op.Div(norm, op.Max(norm, TINY))
    of_short = op.Sub(0.5, op.Mul(op.Mul(of_rows, of_rows), 0.5))
    return op.Add(op.MatMul(latents, rows), op.Transpose(of_short, perm=[1, 0]))


def _short_rows(draw: Draw) -> V:
    """A table of two rows of zeros, two that are shorter than `TINY`, and one that is not."""
    table = draw(9, 6)
    table[2] = table[6] = 0
    table[3] *= 0.1 * TINY
    table[4] *= 0.3 * TINY
    table[7] *= 100 * TINY
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
        return op.ArgMax(_scores(op, _unit(op, latents, 3), table), axis=-1, keepdims=0, select_last_index=0)

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
            yield Sample(latents=draw("batch", "long", 6, scale=scale), table=_short_rows(draw))
        yield Sample(latents=draw("batch", "time", 4) * 0, table=draw(9, 4))


class FoldRequantization(Rule):
    """The nearest row of each row of the table: constant, and usually the row itself.

    Of rows whose directions differ by rounding alone, any may be taken for the nearest.
    """

    stage = Stage.LOWER
    claim = Exact()

    @staticmethod
    def before(op: Ops, table: V) -> V:
        return vamp(op).Requantize(table)

    @staticmethod
    def after(op: Ops, table: V) -> V:
        scores = _scores(op, _unit(op, table, 2), table)
        return op.Gather(table, op.ArgMax(scores, axis=1, keepdims=0, select_last_index=0), axis=0)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(table=draw(40, 8))
        parallel = draw(12, 3)
        parallel[5], parallel[9], parallel[10] = 4 * parallel[2], 0.5 * parallel[2], -2 * parallel[1]
        yield Sample(table=parallel)
        yield Sample(table=_short_rows(draw))


class GatherCodes(Rule):
    """One lookup in all tables at once, and one product: the projections side by side sum over the codebooks.

    A code goes to its own table by an offset; one that no table has is sent past the end, where Gather fails.
    """

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op: Ops, codes: V, tables: V, weights: V, biases: V) -> V:
        return vamp(op).DecodeCodes(codes, tables, weights, biases)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        known = all(m.size("tables", axis) for axis in range(3)) and m.size("weights", 1)
        yield bool(known), "the size of the tables is unknown"

    @staticmethod
    def after(op: Ops, codes: V, tables: V, weights: V, biases: V, m: Match) -> V:
        codebooks, vocab, latent = (m.size("tables", axis) for axis in range(3))
        dim = m.size("weights", 1)
        count = op.Shape(codes, start=1, end=2)
        offsets = op.Unsqueeze(op.Mul(op.Range(0, op.Squeeze(count, [0]), 1), vocab), [1])
        rows = op.Add(op.Where(op.Equal(codes, vocab), 0, codes), offsets)
        strange = op.Or(op.Less(codes, 0), op.Greater(codes, vocab))
        rows = op.Where(strange, codebooks * vocab, rows)
        found = op.Gather(op.Reshape(tables, [codebooks * vocab, latent]), rows, axis=0)
        joined = op.Reshape(
            op.Transpose(found, perm=[0, 2, 1, 3]), op.Concat([0, -1], op.Mul(count, latent), axis=0)
        )
        matrix = op.Reshape(op.Transpose(weights, perm=[0, 2, 1]), [codebooks * latent, dim])
        used = op.Slice(matrix, [0], op.Mul(count, latent), [0])
        bias = op.ReduceSum(op.Slice(biases, [0], count, [0]), [0], keepdims=0)
        return op.Add(op.MatMul(joined, used), bias)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        parts: dict[str, V] = {"tables": draw(3, 7, 4), "weights": draw(3, 6, 4), "biases": draw(3, 6)}
        for count in (1, 2, 3):
            yield Sample(codes=draw.integers(0, 7, "batch", count, "time"), **parts)
        yield Sample(codes=draw.integers(7, 7, "batch", 2, "time"), **parts)
        for code in (-1, 8, 100, -7):
            yield Fails(codes=draw.integers(code, code, "batch", 2, "time"), **parts)
            last = draw.integers(0, 7, "batch", 3, "time")
            last[-1, 2, -1] = code
            yield Fails(codes=last, **parts)
        for count in (0, 4):
            yield Fails(codes=draw.integers(0, 6, "batch", count, "time"), **parts)
        unknown = {**parts, "tables": draw.unranked(3, 7, 4)}
        yield Refused("unknown", codes=draw.integers(0, 7, "batch", 2, "time"), **unknown)


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
        return _unit(op, table, 2)

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
            columns, squares = _columns(table)
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


def _columns(table: V) -> tuple[V, V]:
    """The rows, normalised, as columns; and their squared norms."""
    norms = np.maximum(np.sqrt((table**2).sum(axis=1, keepdims=True)), TINY)
    columns = np.ascontiguousarray((table / norms).T)
    return columns, (columns**2).sum(axis=0)


def _with_zeros(draw: Draw) -> V:
    table = draw(9, 8)
    table[4] = 0
    return table


class RaiseRequantize(Rule):
    """A row of the table, looked up anew by its own direction, is a row of the table's ``Requantize``."""

    stage = Stage.RAISE
    claim = Exact()

    @staticmethod
    def before(op: Ops, codes: V, table: V, columns: V) -> V:
        unit = op.Transpose(columns, perm=[1, 0])
        return op.Gather(table, vamp(op).NearestCode(op.Gather(table, codes, axis=0), unit), axis=0)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("table", "columns"), "it is not in float32"
        table, columns = m.constant("table"), m.constant("columns")
        yield table is not None and columns is not None, "the tables are not constants"
        assert table is not None
        assert columns is not None
        same = table.ndim == 2 and table.T.shape == columns.shape
        same = same and np.allclose(_columns(table.astype(np.float64))[0], columns, 0, 1e-6)
        yield bool(same), "the rows are not in the directions of the table's"

    @staticmethod
    def after(op: Ops, codes: V, table: V) -> V:
        return op.Gather(vamp(op).Requantize(table), codes, axis=0)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for table in (draw(40, 8), draw(12, 3, scale=1e3)):
            columns = _columns(table)[0]
            yield Sample(
                codes=draw.integers(0, len(table) - 1, "batch", "time"), table=table, columns=columns
            )
        codes = draw.integers(0, 11, "batch", "time")
        yield Refused("directions", codes=codes, table=table, columns=np.ascontiguousarray(columns[:, ::-1]))
        yield Refused("not constants", codes=codes, table=table, columns=draw.input(3, 12))
        double = {"table": table.astype(np.float64), "columns": columns.astype(np.float64)}
        yield Refused("float32", codes=codes, **double)


RULES = (
    RaiseUnitRows,
    RaiseNearestCode,
    RaiseRequantize,
    NearestByProduct,
    FoldRequantization,
    GatherCodes,
)
