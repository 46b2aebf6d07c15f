"""Products with a weight matrix in PyTorch's layout."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class Linear(Op):
    """``x · weightᵀ + bias``. x [..., in], weight [out, in], bias [out] or none -> [..., out]."""

    @staticmethod
    def shape(x: Dims, weight: Dims, bias: Dims | None = None) -> Dims:
        expect(len(weight) == 2 and weight[1] == x[-1], f"weight {weight} does not map {x}")
        expect(bias is None or bias == weight[:1], f"bias {bias} does not fit weight {weight}")
        return (*x[:-1], weight[0])

    @staticmethod
    def meaning(x: Array, weight: Array, bias: Array | None = None) -> Array:
        product = np.einsum("...i,oi->...o", x, weight)
        return product if bias is None else product + bias


class PointwiseConv(Op):
    """A convolution of kernel size 1, time-major: ``x · weightᵀ + bias`` at every time step.

    x [batch, time, in], weight [out, in, 1], bias [out] -> [batch, time, out].
    """

    @staticmethod
    def shape(x: Dims, weight: Dims, bias: Dims) -> Dims:
        expect(len(weight) == 3 and weight[1:] == (x[-1], 1), f"weight {weight} does not map {x}")
        expect(bias == weight[:1], f"bias {bias} does not fit weight {weight}")
        return (*x[:-1], weight[0])

    @staticmethod
    def meaning(x: Array, weight: Array, bias: Array) -> Array:
        return np.asarray(np.einsum("bti,oik->bto", x, weight) + bias)
