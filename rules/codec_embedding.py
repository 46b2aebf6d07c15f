"""Codec-latent embeddings: the codec's table with the model's own MASK row at its end."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Exact, Guard, Match, Rule, Sample, Stage, V


class GatherCodebookEmbedding(Rule):
    """A row of ``Concat(table, mask[codebook])``; a negative code is sent past the end, where Gather fails.

    ONNX's Gather counts negative indices from the end, where the mask row lies.
    """

    stage = Stage.LOWER
    claim = Exact()

    @staticmethod
    def before(op: Ops, codes: V, table: V, mask: V, codebook: V) -> V:
        return vamp(op).CodebookEmbedding(codes, table, mask, codebook=codebook)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.size("table", 0) > 0, "the number of codes is unknown"

    @staticmethod
    def after(op: Ops, codes: V, table: V, mask: V, codebook: int, m: Match) -> V:
        rows = op.Concat(table, op.Gather(mask, [codebook], axis=0), axis=0)
        beyond = m.size("table", 0) + 1
        guarded = op.Where(op.Less(codes, 0), beyond, codes)
        return op.Gather(rows, op.Gather(guarded, codebook, axis=1), axis=0)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for codebook in (0, 2):
            yield Sample(
                codes=draw.integers(0, 7, "batch", 3, "time"),
                table=draw(7, 5),
                mask=draw(3, 5),
                codebook=codebook,
            )
        yield Sample(
            codes=draw.integers(4, 4, "batch", 1, "time"), table=draw(4, 2), mask=draw(1, 2), codebook=0
        )


RULES = (GatherCodebookEmbedding,)
