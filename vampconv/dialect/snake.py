"""Snake, the periodic activation of the codec."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits

EPSILON = 1e-9
"""What keeps a zero alpha from dividing by zero."""


class Snake(Op):
    """``x + sin²(alpha·x) / (alpha + 1e-9)``, one alpha per channel (arXiv:2006.08195).

    x [batch, channels, time], alpha [1, channels, 1] -> [batch, channels, time].
    """

    @staticmethod
    def shape(x: Dims, alpha: Dims) -> Dims:
        expect(len(x) == 3 and len(alpha) == 3, f"x {x} or alpha {alpha} has the wrong rank")
        expect(alpha[0] == alpha[2] == 1 and fits(alpha[1], x[1]), f"alpha {alpha} does not fit {x}")
        return x

    @staticmethod
    def meaning(x: Array, alpha: Array) -> Array:
        return np.asarray(x + np.sin(alpha * x) ** 2 / (alpha + EPSILON))


class UnitSnake(Op):
    """Snake of alpha 1, without its epsilon: ``x + sin²(x)``. x [...] -> [...]."""

    @staticmethod
    def shape(x: Dims) -> Dims:
        return x

    @staticmethod
    def meaning(x: Array) -> Array:
        return np.asarray(x + np.sin(x) ** 2)
