"""Root mean square layer normalisation."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class RMSNorm(Op):
    """``x / sqrt(mean(x²) + eps) · weight`` over the last axis (arXiv:1910.07467).

    x [..., dim], weight [dim] -> [..., dim].
    """

    @staticmethod
    def shape(x: Dims, weight: Dims, *, eps: float) -> Dims:
        expect(weight == x[-1:], f"weight {weight} does not fit the last axis of {x}")
        expect(eps > 0, f"eps {eps} is not positive")
        return x

    @staticmethod
    def meaning(x: Array, weight: Array, *, eps: float) -> Array:
        return np.asarray(x / np.sqrt((x**2).mean(axis=-1, keepdims=True) + eps) * weight)
