"""How far the loop is after each step, and how many tokens are masked again."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from vampconv.dialect.builder import Ops

_FLOAT, _DOUBLE, _INT = 1, 11, 7
COSINE = tuple((-1.0) ** (n // 2) / math.factorial(n) for n in range(24, -1, -2))
"""Taylor's series of the cosine over x², highest power first; within 2e-16 up to π/2."""


def progress(op: Ops, step: Any, steps: Any) -> Any:
    """The noise level r = (step + 1)/steps, float32 []."""
    return op.Div(op.Cast(op.Add(step, 1), to=_FLOAT), op.Cast(steps, to=_FLOAT))


def to_mask(op: Ops, r: Any, count: Any, masked: Any, is_last: Any) -> Any:
    """How many tokens of each row are masked again, int64 [batch, 1].

    Parameters
    ----------
    op
        The builder.
    r
        :func:`progress`.
    count
        Mask tokens of the whole batch at the start, int64 [].
    masked
        Mask tokens of each row now, int64 [batch, 1].
    is_last
        Whether this is the last step, bool []; before it, at least one token is masked again, and one is kept.

    """
    wanted = op.Cast(op.Floor(op.Mul(gamma(op, r), op.Cast(count, to=_FLOAT))), to=_INT)
    bounded = op.Max(op.Min(op.Sub(masked, 1), wanted), 1)
    return op.Where(is_last, wanted, bounded)


def gamma(op: Ops, r: Any) -> Any:
    """cos(r·π/2) within 1e-10 … 1, float32: of the angle in float32, rounded once.

    The cosines of runtimes differ in the last bit, and the product with the count is rounded down; so it is a
    series in float64, of sums and products alone.
    """
    angle = op.Div(op.Mul(r, float(np.float32(np.pi))), 2.0)
    x = op.Cast(angle, to=_DOUBLE)
    square = op.Mul(x, x)
    total: Any = np.asarray(COSINE[0])
    for coefficient in COSINE[1:]:
        total = op.Add(op.Mul(total, square), np.asarray(coefficient))
    return op.Min(op.Max(op.Cast(total, to=_FLOAT), 1e-10), 1.0)
