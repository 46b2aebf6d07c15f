"""ONNX operators that look elements up, or put them somewhere, by their indices.

An index may count from the end; one that lies beyond either end is an ``IndexError``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

REDUCTIONS = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}


def checked(indices: Tensor, size: int) -> Tensor:
    """The indices, counted from the beginning."""
    beyond = (indices < -size) | (indices >= size)
    if bool(beyond.any()):
        raise IndexError(f"index {int(indices[beyond][0])} is beyond {size} elements")
    return torch.where(indices < 0, indices + size, indices).to(torch.int64)


def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    axis %= x.ndim
    found = x.index_select(axis, checked(indices, x.shape[axis]).flatten())
    return found.reshape(x.shape[:axis] + indices.shape + x.shape[axis + 1 :])


def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return torch.gather(x, axis, checked(indices, x.shape[axis]))


def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    """Rows of x, each found by the last axis of `indices`, apart for each of the first axes."""
    batch = math.prod(x.shape[:batch_dims])
    rest, depth = x.shape[batch_dims:], indices.shape[-1]
    rows = x.reshape(batch, math.prod(rest[:depth]), -1)
    at = _flat(indices, rest[:depth]).reshape(batch, -1)
    found = rows[torch.arange(batch)[:, None], at]
    return found.reshape(indices.shape[:-1] + rest[depth:])


def _flat(indices: Tensor, sizes: torch.Size) -> Tensor:
    """Row-major positions of the indices along the last axis."""
    position = torch.zeros(indices.shape[:-1], dtype=torch.int64)
    for axis, size in enumerate(sizes):
        position = position * size + checked(indices[..., axis], size)
    return position


def scatter_elements(
    x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none"
) -> Tensor:
    at = checked(indices, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, at, updates)
    return x.scatter_reduce(axis, at, updates, REDUCTIONS[reduction])


def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    sizes = x.shape[: indices.shape[-1]]
    rows = x.reshape(math.prod(sizes), -1)
    at = _flat(indices, sizes).reshape(-1, 1).expand(-1, rows.shape[1])
    done = scatter_elements(rows, at, updates.reshape(at.shape), axis=0, reduction=reduction)
    return done.reshape(x.shape)


def one_hot(indices: Tensor, depth: Tensor, values: Tensor, *, axis: int = -1) -> Tensor:
    """``values[1]`` at each index and ``values[0]`` elsewhere; everywhere, for an index beyond the ends."""
    count = int(depth)
    axis %= indices.ndim + 1
    at = torch.where(indices < 0, indices + count, indices).unsqueeze(axis)
    places = torch.arange(count).reshape([-1 if i == axis else 1 for i in range(at.ndim)])
    return torch.where(at == places, values[1], values[0])


def non_zero(x: Tensor) -> Tensor:
    return torch.nonzero(x).T


OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Gather": gather,
    "GatherElements": gather_elements,
    "GatherND": gather_nd,
    "NonZero": non_zero,
    "OneHot": one_hot,
    "ScatterElements": scatter_elements,
    "ScatterND": scatter_nd,
}
