"""Batch normalisation at inference."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits


class BatchNorm(Op):
    """``(x − mean) / sqrt(variance + eps) · weight + bias``, per channel (arXiv:1502.03167).

    x [batch, channels, time], weight, bias, mean and variance [channels] -> [batch, channels, time].
    """

    @staticmethod
    def shape(x: Dims, weight: Dims, bias: Dims, mean: Dims, variance: Dims, *, eps: float) -> Dims:
        expect(len(x) == 3, f"x {x} is not [batch, channels, time]")
        expect(len(weight) == 1 and fits(weight[0], x[1]), f"weight {weight} does not fit {x}")
        expect(weight == bias == mean == variance, "weight, bias, mean and variance differ in shape")
        expect(eps > 0, f"eps {eps} is not positive")
        return x

    @staticmethod
    def meaning(x: Array, weight: Array, bias: Array, mean: Array, variance: Array, *, eps: float) -> Array:
        scale = weight / np.sqrt(variance + eps)
        return np.asarray((x - mean[:, None]) * scale[:, None] + bias[:, None])
