"""Low-rank adaptation of a weight."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class LoRA(Op):
    """``weight + scale · b·a`` (arXiv:2106.09685; loralib's scale is alpha / rank).

    weight [out, in], a [rank, in], b [out, rank] -> [out, in].
    """

    @staticmethod
    def shape(weight: Dims, a: Dims, b: Dims, *, scale: float) -> Dims:
        expect(len(weight) == len(a) == len(b) == 2, "weight, a and b are matrices")
        expect(
            b == (weight[0], a[0]) and a[1] == weight[1], f"b {b} times a {a} does not fit weight {weight}"
        )
        expect(scale > 0, f"scale {scale} is not positive")
        return weight

    @staticmethod
    def meaning(weight: Array, a: Array, b: Array, *, scale: float) -> Array:
        update = sum(np.multiply.outer(b[:, k], a[k]) for k in range(a.shape[0]))
        return weight + scale * update
