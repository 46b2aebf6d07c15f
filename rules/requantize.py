"""Requantize: the nearest row of each row of a table, which is constant."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Exact, Guard, Match, Refused, Rule, Sample, Stage, V

from .nearest_code import scores, short_rows, unit_columns, unit_rows


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
        same = same and np.allclose(unit_columns(table.astype(np.float64))[0], columns, 0, 1e-6)
        yield bool(same), "the rows are not in the directions of the table's"

    @staticmethod
    def after(op: Ops, codes: V, table: V) -> V:
        return op.Gather(vamp(op).Requantize(table), codes, axis=0)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for table in (draw(40, 8), draw(12, 3, scale=1e3)):
            columns = unit_columns(table)[0]
            yield Sample(
                codes=draw.integers(0, len(table) - 1, "batch", "time"), table=table, columns=columns
            )
        codes = draw.integers(0, 11, "batch", "time")
        yield Refused("directions", codes=codes, table=table, columns=np.ascontiguousarray(columns[:, ::-1]))
        yield Refused("not constants", codes=codes, table=table, columns=draw.input(3, 12))
        double = {"table": table.astype(np.float64), "columns": columns.astype(np.float64)}
        yield Refused("float32", codes=codes, **double)


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
        likeness = scores(op, unit_rows(op, table, 2), table)
        return op.Gather(table, op.ArgMax(likeness, axis=1, keepdims=0, select_last_index=0), axis=0)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(table=draw(40, 8))
        parallel = draw(12, 3)
        parallel[5], parallel[9], parallel[10] = 4 * parallel[2], 0.5 * parallel[2], -2 * parallel[1]
        yield Sample(table=parallel)
        yield Sample(table=short_rows(draw))


RULES = (RaiseRequantize, FoldRequantization)
