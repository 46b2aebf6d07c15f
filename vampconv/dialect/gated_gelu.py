"""The gate of the feed-forward block."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class GatedGELU(Op):
    """The first half of the features times the GELU of the second half, in its tanh form (arXiv:2002.05202).

    x [..., 2·dim] -> [..., dim].
    """

    @staticmethod
    def shape(x: Dims) -> Dims:
        width = x[-1]
        expect(isinstance(width, int) and width % 2 == 0, f"the last axis of {x} cannot be halved")
        assert isinstance(width, int)
        return (*x[:-1], width // 2)

    @staticmethod
    def meaning(x: Array) -> Array:
        value, gate = np.split(x, 2, axis=-1)
        return np.asarray(value * TanhGELU.meaning(gate))


class TanhGELU(Op):
    """``x/2 · (1 + tanh(sqrt(2/π) · (x + 0.044715·x³)))`` (arXiv:1606.08415). x [...] -> [...]."""

    @staticmethod
    def shape(x: Dims) -> Dims:
        return x

    @staticmethod
    def meaning(x: Array) -> Array:
        return np.asarray(0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))))
