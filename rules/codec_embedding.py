"""Codec-latent embeddings: the codec's table with the model's own MASK row at its end."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Draw, Exact, Fails, Guard, Match, Refused, Rule, Sample, Stage, V


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
        for mask_token in (4, 6):
            codes = draw.integers(mask_token, mask_token, "batch", 3, "time")
            yield Sample(codes=codes, table=draw(mask_token, 2), mask=draw(3, 2), codebook=1)
        for wrong in (-1, -8, 8):
            codes = draw.integers(wrong, wrong, "batch", 2, "time")
            yield Fails(codes=codes, table=draw(7, 5), mask=draw(2, 5), codebook=1)
        codes = draw.integers(0, 7, "batch", 3, "time")
        yield Refused("number of codes", codes=codes, table=draw("long", 5), mask=draw(3, 5), codebook=0)


RULES = (GatherCodebookEmbedding,)
