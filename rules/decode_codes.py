"""DecodeCodes: all codebooks by one lookup and one product."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Fails, Guard, Match, Refused, Rule, Sample, Stage, V


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


RULES = (GatherCodes,)
