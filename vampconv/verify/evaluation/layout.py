"""ONNX operators that arrange elements anew: shapes, slices, joins and pads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional


def concat(*values: Tensor, axis: int) -> Tensor:
    return torch.cat(values, axis)


def expand(x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(np.broadcast_shapes(x.shape, tuple(shape.tolist())))


def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    return x.reshape(math.prod(x.shape[: axis if axis >= 0 else axis + x.ndim]), -1)


def reshape(x: Tensor, shape: Tensor, *, allowzero: int = 0) -> Tensor:
    """Another shape, where 0 keeps a dimension, or is one with `allowzero`, and −1 is what remains."""
    sizes = [x.shape[i] if n == 0 and not allowzero else n for i, n in enumerate(shape.tolist())]
    return x.reshape(sizes)


def shape_of(x: Tensor, *, start: int = 0, end: int | None = None) -> Tensor:
    return torch.tensor(x.shape[start:end], dtype=torch.int64)


def size(x: Tensor) -> Tensor:
    return torch.tensor(x.numel())


def slice_of(
    x: Tensor, starts: Tensor, ends: Tensor, axes: Tensor | None = None, steps: Tensor | None = None
) -> Tensor:
    """Elements from starts to ends, which count from the end if negative and may lie beyond the ends."""
    begins = starts.tolist()
    along = list(range(len(begins))) if axes is None else axes.tolist()
    strides = [1] * len(begins) if steps is None else steps.tolist()
    for axis, begin, end, step in zip(along, begins, ends.tolist(), strides, strict=True):
        chosen = _between(x.shape[axis], begin, end, step)
        if step > 0:
            x = x[(slice(None),) * (axis % x.ndim) + (slice(chosen.start, chosen.stop, step),)]
        else:
            x = x.index_select(axis, torch.tensor(chosen, dtype=torch.int64))
    return x


def _between(size: int, begin: int, end: int, step: int) -> range:
    """Indices that a slice takes; backwards it begins at an element, unlike Python's."""
    begin, end = (n + size if n < 0 else n for n in (begin, end))
    if step > 0:
        return range(min(max(begin, 0), size), min(max(end, 0), size), step)
    return range(min(max(begin, 0), size - 1), min(max(end, -1), size - 1), step)


def split(
    x: Tensor, sizes: Tensor | None = None, *, outputs: int, axis: int = 0, num_outputs: int | None = None
) -> tuple[Tensor, ...]:
    """Parts of the sizes given; else equal ones, of which the last may be smaller."""
    if sizes is not None:
        return torch.split(x, sizes.tolist(), axis)
    whole = x.shape[axis]
    part = -(-whole // (num_outputs or outputs))
    return torch.split(x, [min(part, max(whole - i * part, 0)) for i in range(num_outputs or outputs)], axis)


def squeeze(x: Tensor, axes: Tensor | None = None) -> Tensor:
    if axes is None:
        return x.squeeze()
    along = axes.tolist()
    if any(x.shape[axis] != 1 for axis in along):
        raise ValueError(f"axes {along} of {list(x.shape)} are not of size 1")
    return x.squeeze(along)


def unsqueeze(x: Tensor, axes: Tensor) -> Tensor:
    given = axes.tolist()
    for axis in sorted(axis % (x.ndim + len(given)) for axis in given):
        x = x.unsqueeze(axis)
    return x


def tile(x: Tensor, repeats: Tensor) -> Tensor:
    return x.repeat(tuple(repeats.tolist()))


def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(tuple(reversed(range(x.ndim)) if perm is None else perm))


def triangle(x: Tensor, k: Tensor | None = None, *, upper: int = 1) -> Tensor:
    diagonal = 0 if k is None else int(k)
    return torch.triu(x, diagonal) if upper else torch.tril(x, diagonal)


def pad(
    x: Tensor,
    pads: Tensor,
    value: Tensor | None = None,
    axes: Tensor | None = None,
    *,
    mode: str = "constant",
) -> Tensor:
    """Elements before and after each axis; negative numbers take some away."""
    along = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes.tolist()]
    begins, ends = pads[: len(along)].tolist(), pads[len(along) :].tolist()
    if mode == "constant":
        around = dict(zip(along, zip(begins, ends, strict=True), strict=True))
        flat = [n for axis in reversed(range(x.ndim)) for n in around.get(axis, (0, 0))]
        return functional.pad(x, flat, value=0 if value is None else value.item())
    for axis, begin, end in zip(along, begins, ends, strict=True):
        length = x.shape[axis]
        x = x.index_select(axis, BEYOND[mode](torch.arange(-begin, length + end), length))
    return x


def _mirrored(index: Tensor, length: int) -> Tensor:
    period = max(2 * (length - 1), 1)
    index = index.abs() % period
    return torch.minimum(index, period - index) if length > 1 else index


BEYOND: Mapping[str, Callable[[Tensor, int], Tensor]] = {
    "edge": lambda index, length: index.clamp(0, length - 1),
    "reflect": _mirrored,
    "wrap": lambda index, length: index % length,
}
"""Of indices beyond the ends, those inside whose elements stand there."""

OPERATORS: Mapping[str, Callable[..., Any]] = {
    "Concat": concat,
    "Expand": expand,
    "Flatten": flatten,
    "Pad": pad,
    "Reshape": reshape,
    "Shape": shape_of,
    "Size": size,
    "Slice": slice_of,
    "Split": split,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": transpose,
    "Trilu": triangle,
    "Unsqueeze": unsqueeze,
}
