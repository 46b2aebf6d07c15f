"""The output layer over all predicted codebooks."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class Classifier(Op):
    """Logits of every predicted codebook; row ``v · n_predict + c`` of the weight is code v of codebook c.

    x [batch, time, dim], weight [vocab · n_predict, dim, 1], bias [vocab · n_predict]
    -> [batch, time · n_predict, vocab], codebook fastest.
    """

    @staticmethod
    def shape(x: Dims, weight: Dims, bias: Dims, *, n_predict: int) -> Dims:
        rows, time = weight[0], x[1]
        expect(weight[1:] == (x[-1], 1), f"weight {weight} does not map {x}")
        expect(bias == (rows,), f"bias {bias} does not fit weight {weight}")
        expect(isinstance(rows, int) and rows % n_predict == 0, f"{rows} rows do not divide by {n_predict}")
        assert isinstance(rows, int)
        positions = time * n_predict if isinstance(time, int) else f"{time}*{n_predict}" if time else None
        return (x[0], positions, rows // n_predict)

    @staticmethod
    def meaning(x: Array, weight: Array, bias: Array, *, n_predict: int) -> Array:
        scores = np.einsum("btd,rdk->btr", x, weight) + bias
        batch, time, rows = scores.shape
        by_code = scores.reshape(batch, time, rows // n_predict, n_predict)
        return by_code.swapaxes(2, 3).reshape(batch, time * n_predict, rows // n_predict)
