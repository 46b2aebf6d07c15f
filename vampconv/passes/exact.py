"""Arithmetic on constants: float64, in a fixed order, without BLAS, so that it is the same on every machine.

Only elementwise operations that IEEE 754 rounds correctly are used; sums are taken in an order of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from vampconv.dialect.op import Array


def sum_by_halves(x: Array) -> Array:
    """Sum over the last axis: the second half is added to the first until one element is left."""
    while (width := x.shape[-1]) > 1:
        half = (width + 1) // 2
        head = x[..., :half].copy()
        head[..., : width - half] += x[..., half:]
        x = head
    return x[..., 0] if x.shape[-1] else np.zeros(x.shape[:-1])


def reduce_sum(x: Array, axes: Array, *, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Array:
    """ONNX ReduceSum over the given axes."""
    del noop_with_empty_axes
    over = sorted(int(a) % x.ndim for a in axes)
    kept = [a for a in range(x.ndim) if a not in over]
    total = sum_by_halves(x.transpose(*kept, *over).reshape(*(x.shape[a] for a in kept), -1))
    return total.reshape([1 if a in over else x.shape[a] for a in range(x.ndim)]) if keepdims else total


def matmul(a: Array, b: Array) -> Array:
    """Product of two matrices; the terms of each element are added in the order of the inner axis."""
    product = np.zeros((a.shape[0], b.shape[1]))
    term = np.empty_like(product)
    for k in range(a.shape[1]):
        np.multiply(a[:, k, None], b[k], out=term)
        product += term
    return product


def gather(x: Array, indices: Array, *, axis: int = 0) -> Array:
    """ONNX Gather."""
    return np.asarray(np.take(x, indices, axis=axis))


BY_ROWS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Sqrt": np.sqrt,
    "MatMul": matmul,
    "ReduceSum": reduce_sum,
}
"""Operations whose rows (axis 0) can be computed block by block."""

WHOLE: Mapping[str, Callable[..., Array]] = {"Gather": gather}
"""Operations that need their whole inputs."""

MOVES = frozenset({"Transpose", "Concat", "Reshape", "Squeeze", "Unsqueeze"})
"""Operations that only place elements elsewhere."""


def foldable(op_type: str, shapes: list[tuple[int, ...]], attributes: Mapping[str, Any]) -> bool:
    """Whether an operation on constants of these shapes can be folded."""
    if op_type == "MatMul":
        return len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) == 2
    if op_type == "ReduceSum":
        return len(shapes) == 2 and not attributes.get("noop_with_empty_axes")
    return op_type in BY_ROWS or op_type in WHOLE or op_type in MOVES
