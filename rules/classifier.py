"""The classifier over all predicted codebooks (4096-way for 4 codebooks of 1024)."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V


class PermuteClassifier(Rule):
    """One product, its rows put codebook-major at conversion, so that the logits need no transposition."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V, n_predict: V) -> V:
        return vamp(op).Classifier(x, weight, bias, n_predict=n_predict)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.size("weight", 0) > 0 and m.size("weight", 1) > 0, "the size of the weight is unknown"

    @staticmethod
    def after(op: Ops, x: V, weight: V, bias: V, n_predict: int, m: Match) -> V:
        rows, dim = m.size("weight", 0), m.size("weight", 1)
        vocab = rows // n_predict
        by_code = op.Reshape(weight, [vocab, n_predict, dim])
        matrix = op.Reshape(op.Transpose(by_code, perm=[2, 1, 0]), [dim, rows])
        offset = op.Reshape(op.Transpose(op.Reshape(bias, [vocab, n_predict]), perm=[1, 0]), [rows])
        return op.Reshape(op.Add(op.MatMul(x, matrix), offset), [0, -1, vocab])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for vocab, n_predict in ((7, 3), (5, 1), (1, 4)):
            rows = vocab * n_predict
            yield Sample(
                x=draw("batch", "time", 6), weight=draw(rows, 6, 1), bias=draw(rows), n_predict=n_predict
            )
        x, weight = draw("batch", "time", "long"), draw(6, "long", 1)
        yield Refused("size of the weight", x=x, weight=weight, bias=draw(6), n_predict=2)


RULES = (PermuteClassifier,)
