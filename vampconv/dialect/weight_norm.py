"""Weight normalisation."""

from __future__ import annotations

import math

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class WeightNorm(Op):
    """``g · v / ‖v‖``, the norm taken over every axis but the first (arXiv:1602.07868).

    g [n, 1, …], v [n, …] -> [n, …]. For a transposed convolution axis 0 is the input channel, as in PyTorch.
    """

    @staticmethod
    def shape(g: Dims, v: Dims) -> Dims:
        expect(len(v) >= 2, f"v {v} has no axis to take the norm over")
        expect(g == (v[0], *(1,) * (len(v) - 1)), f"g {g} does not fit v {v}")
        return v

    @staticmethod
    def meaning(g: Array, v: Array) -> Array:
        norms = [math.sqrt(math.fsum(float(x) * float(x) for x in row.ravel())) for row in v]
        return np.stack(
            [g[i].item() * row / norm for i, (row, norm) in enumerate(zip(v, norms, strict=True))]
        )
