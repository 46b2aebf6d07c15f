"""Brings what a user gives to vamp into one form."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError, UsageError
from vampconv.runtime.checks import check_mask

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]


def whole_mask(mask: NDArray[Any], shape: tuple[int, ...]) -> Mask:
    """A mask [batch, n_codebooks, time] or [batch, time] as bool of this shape, the caller's own.

    Raises
    ------
    BadInputError
        If it is of another shape, or holds anything but zeros and ones.

    """
    check_mask(mask, shape)
    along = mask if mask.ndim == len(shape) else mask[:, None]
    return np.broadcast_to(along, shape).astype(np.bool_)


def batch_of(codes: Codes, mask: Mask, size: int | None) -> tuple[Codes, Mask]:
    """Codes and mask of a batch of this size, by default that of the codes.

    Raises
    ------
    UsageError
        If the codes are a batch of another size, and not of one.

    """
    if size is None or size == len(codes):
        return codes, mask
    check_count("batch_size", size)
    if len(codes) != 1:
        raise UsageError(
            f"batch_size is {size}, and the codes are a batch of {len(codes)}", "give one or none"
        )
    return codes.repeat(size, axis=0), mask.repeat(size, axis=0)


def with_codebooks(codes: Codes, mask: Mask, least: int, count: int) -> tuple[Codes, Mask]:
    """Codes of `count` codebooks: where there are fewer, the others are to be made.

    Raises
    ------
    BadInputError
        If there are fewer than `least`.

    """
    missing = count - codes.shape[1]
    if codes.shape[1] < least:
        raise BadInputError(f"the codes are of {codes.shape[1]} codebooks", f"give {least} or {count}")
    if missing <= 0:
        return codes, mask
    more = [(0, 0), (0, missing), (0, 0)]
    return np.pad(codes, more), np.pad(mask, more, constant_values=True)


def stretched(codes: Codes, mask: Mask, factor: int) -> tuple[Codes, Mask]:
    """Each step so many times, all but the first of them to be made anew."""
    if factor == 1:
        return codes, mask
    added = np.arange(codes.shape[-1] * factor) % factor != 0
    return codes.repeat(factor, axis=-1), mask.repeat(factor, axis=-1) | added


def check_count(name: str, value: int) -> None:
    """Raise an error unless a value is a whole number from 1."""
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise UsageError(f"{name} is {value}", "give a whole number from 1")
