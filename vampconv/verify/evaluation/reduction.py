"""ONNX operators that reduce, scan or sort along axes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

Reduce = Callable[[Tensor, tuple[int, ...], bool], Tensor]


def reduction(
    function: Reduce,
    x: Tensor,
    chosen: Tensor | None = None,
    *,
    axes: Sequence[int] = (),
    keepdims: int = 1,
    noop_with_empty_axes: int = 0,
) -> Tensor:
    """Reduce over axes given as an input (opset 18; ReduceSum 13) or as an attribute; without any, over all."""
    over = tuple(axes if chosen is None else chosen.tolist())
    if not over and not noop_with_empty_axes:
        over = tuple(range(x.ndim))
    if not over:  # every element is reduced on its own
        return function(x.unsqueeze(-1), (x.ndim,), False)
    return function(x, over, bool(keepdims))


def summed(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    return torch.sum(x, axes, keep, dtype=x.dtype)


def product(x: Tensor, axes: tuple[int, ...], keep: bool) -> Tensor:
    for axis in sorted((a % x.ndim for a in axes), reverse=True):
        x = torch.prod(x, axis, keep, dtype=x.dtype)
    return x


def argument(
    function: Callable[..., Tensor],
    x: Tensor,
    *,
    axis: int = 0,
    keepdims: int = 1,
    select_last_index: int = 0,
) -> Tensor:
    """Index of the extreme, the first of equal ones, or the last."""
    if not select_last_index:
        return function(x, axis, bool(keepdims))
    return x.shape[axis] - 1 - function(x.flip(axis), axis, bool(keepdims))


def cumulative_sum(x: Tensor, axis: Tensor, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    along = int(axis)
    forward = x.flip(along) if reverse else x
    total = torch.cumsum(forward, along, dtype=x.dtype)
    total = total - forward if exclusive else total
    return total.flip(along) if reverse else total


def top_k(
    x: Tensor,
    k: Tensor,
    *,
    axis: int = -1,
    largest: int = 1,
    sorted: int = 1,  # noqa: A002, ARG001 - ONNX's name; sorted is one of the orders that 0 allows
) -> tuple[Tensor, Tensor]:
    """The k extreme values in order, and their indices; of equal ones those that come first."""
    values, indices = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    count = int(k)
    if count > x.shape[axis]:
        raise ValueError(f"there are no {count} elements among {x.shape[axis]}")
    return values.narrow(axis, 0, count), indices.narrow(axis, 0, count)


def softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.softmax(x, axis)


def log_softmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.log_softmax(x, axis)


REDUCTIONS: Mapping[str, Reduce] = {
    "ReduceL1": lambda x, axes, keep: summed(x.abs(), axes, keep),
    "ReduceL2": lambda x, axes, keep: summed(x * x, axes, keep).sqrt(),
    "ReduceLogSum": lambda x, axes, keep: summed(x, axes, keep).log(),
    "ReduceLogSumExp": torch.logsumexp,
    "ReduceMax": torch.amax,
    "ReduceMean": torch.mean,
    "ReduceMin": torch.amin,
    "ReduceProd": product,
    "ReduceSum": summed,
    "ReduceSumSquare": lambda x, axes, keep: summed(x * x, axes, keep),
}

OPERATORS: Mapping[str, Callable[..., Any]] = {
    **{name: partial(reduction, function) for name, function in REDUCTIONS.items()},
    "ArgMax": partial(argument, torch.argmax),
    "ArgMin": partial(argument, torch.argmin),
    "CumSum": cumulative_sum,
    "LogSoftmax": log_softmax,
    "Softmax": softmax,
    "TopK": top_k,
}
