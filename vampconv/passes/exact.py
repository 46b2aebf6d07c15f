"""Arithmetic on constants: float64, in a fixed order, without BLAS, so that it is the same on every machine.

Only elementwise operations that IEEE 754 rounds correctly are used; sums are taken in an order of our own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

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
    over = reduced_axes(axes, x.ndim)
    kept = [a for a in range(x.ndim) if a not in over]
    total = sum_by_halves(x.transpose(*kept, *over).reshape(*(x.shape[a] for a in kept), -1))
    return total.reshape([1 if a in over else x.shape[a] for a in range(x.ndim)]) if keepdims else total


def reduce_max(
    x: Array, axes: Array | Sequence[int] = (), *, keepdims: int = 1, noop_with_empty_axes: int = 0
) -> Array:
    """ONNX ReduceMax over the given axes."""
    del noop_with_empty_axes
    return np.asarray(np.max(x, axis=tuple(reduced_axes(axes, x.ndim)), keepdims=bool(keepdims)))


def cast(x: Array, *, to: int, saturate: int = 1) -> Array:
    """ONNX Cast to float16, or of numbers to integers of 8 bits, which must be large enough."""
    del saturate
    if to == ir.DataType.FLOAT16:
        return x.astype(np.float16).astype(np.float64)
    return np.asarray(np.trunc(x).astype(np.int64))


def reduced_axes(axes: Array | Sequence[int], rank: int) -> list[int]:
    """The axes that a reduction goes over; none given means all of them."""
    return sorted({int(a) % rank for a in axes}) or list(range(rank))


def divide(a: Array, b: Array) -> Array:
    """ONNX Div: of integers, the quotient without its fraction."""
    if a.dtype.kind != "i":
        return np.asarray(np.divide(a, b))
    return np.asarray(np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b)))


def matmul(a: Array, b: Array) -> Array:
    """Product of two matrices; the terms of each element are added in the order of the inner axis."""
    if a.shape[1] == 0:
        return np.zeros((a.shape[0], b.shape[1]))
    product = a[:, 0, None] * b[0]
    term = np.empty_like(product)
    for k in range(1, a.shape[1]):
        np.multiply(a[:, k, None], b[k], out=term)
        product += term
    return product


def clip(x: Array, low: Array | float = -np.inf, high: Array | float = np.inf) -> Array:
    """ONNX Clip; a limit above the other wins."""
    return np.asarray(np.minimum(np.maximum(x, low), high).astype(x.dtype, copy=False))


def reciprocal(x: Array) -> Array:
    """One over each element."""
    return np.asarray(1 / x)


def expand(x: Array, shape: Array) -> Array:
    """ONNX Expand: repeated along axes of size 1, in either direction."""
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, tuple(int(size) for size in shape)))


def gather(x: Array, indices: Array, *, axis: int = 0) -> Array:
    """ONNX Gather."""
    return np.asarray(np.take(x, indices, axis=axis))


def argmax(x: Array, *, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Array:
    """ONNX ArgMax; of several largest elements the first, unless the last is asked for."""
    if select_last_index:
        return x.shape[axis] - 1 - argmax(np.flip(x, axis), axis=axis, keepdims=keepdims)
    return np.asarray(np.argmax(x, axis=axis, keepdims=bool(keepdims)))


def rounded(x: Array, dtype: np.dtype[Any]) -> Array:
    """The nearest numbers of `dtype`, ties to even.

    The small types of `ml_dtypes` convert by way of float32. Where that is inexact, its odd neighbour
    keeps the second rounding on the right side of a tie.
    """
    if x.dtype != np.float64 or dtype.itemsize > 2 or dtype == np.float16:
        return x.astype(dtype, copy=False)
    near = x.astype(np.float32)
    inexact = np.isfinite(x) & (near != x)
    below = near.view(np.uint32) - (np.abs(near) > np.abs(x))
    return np.where(inexact, below | 1, near.view(np.uint32)).astype(np.uint32).view(np.float32).astype(dtype)


NARROW = (ir.DataType.INT8, ir.DataType.UINT8, ir.DataType.FLOAT16)

BY_ROWS: Mapping[str, Callable[..., Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": divide,
    "Sqrt": np.sqrt,
    "Sign": np.sign,
    "Max": np.maximum,
    "Clip": clip,
    "Neg": np.negative,
    "Reciprocal": reciprocal,
    "MatMul": matmul,
    "ReduceSum": reduce_sum,
    "ReduceMax": reduce_max,
    "Abs": np.abs,
    "Round": np.rint,
    "Cast": cast,
}
"""Operations whose rows (axis 0) can be computed block by block."""

WHOLE: Mapping[str, Callable[..., Array]] = {"Gather": gather, "ArgMax": argmax, "Expand": expand}
"""Operations that need their whole inputs."""

MOVES = frozenset({"Transpose", "Concat", "Reshape", "Squeeze", "Unsqueeze"})
"""Operations that only place elements elsewhere."""


def foldable(op_type: str, shapes: list[tuple[int, ...]], attributes: Mapping[str, Any]) -> bool:
    """Whether an operation on constants of these shapes can be folded."""
    if op_type == "MatMul":
        return len(shapes) == 2 and len(shapes[0]) == len(shapes[1]) == 2
    if op_type == "Max":
        return len(shapes) == 2
    if op_type == "ReduceSum":
        return len(shapes) == 2 and not attributes.get("noop_with_empty_axes")
    if op_type == "ReduceMax":
        return 0 not in shapes[0] and not attributes.get("noop_with_empty_axes")
    if op_type == "Cast":
        return attributes.get("to") in NARROW
    return op_type in BY_ROWS or op_type in WHOLE or op_type in MOVES
