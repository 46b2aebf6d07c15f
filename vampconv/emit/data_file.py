"""The data file of a model: its large constants, written one after another."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import cast

import numpy as np
import onnx_ir as ir

from vampconv.emit.computed import computed

ALIGNMENT = 4096
"""Constants begin at multiples of this, so that a runtime can map them."""
FLUSH = 1 << 27
"""Bytes after which the system is told to write to the disk, so that little is left to wait for at the end."""


def write_data(values: Sequence[ir.Value], path: Path, advance: Callable[[int], None]) -> tuple[int, str]:
    """Write constants to `path` and let each refer to its place there; return the file's size and SHA-256.

    Parameters
    ----------
    values
        The constants, in the order of the file.
    path
        The new file; references name it without its directory.
    advance
        Called with the number of bytes written.

    """
    digest, offset, flushed = hashlib.sha256(), 0, 0
    flushes: list[Future[None]] = []
    with path.open("wb", buffering=0) as file, ThreadPoolExecutor(1) as flusher:
        for value, array in zip(values, computed(values), strict=True):
            padding = bytes(-offset % ALIGNMENT)
            raw = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).data.cast("B")
            for part in (padding, raw):
                _write_all(file.write, part)
                digest.update(part)
            offset += len(padding)
            value.const_value = _reference(value, path, offset, len(raw))
            offset += len(raw)
            advance(len(raw))
            del array, raw, part  # so that they are not in memory beside the next
            if offset - flushed > FLUSH:
                flushes.append(flusher.submit(os.fdatasync, file.fileno()))
                flushed = offset
    # The system tells of a failed write once: a later fsync need not hear of it again.
    for flush in flushes:
        flush.result()
    return offset, digest.hexdigest()


def _reference(value: ir.Value, path: Path, offset: int, length: int) -> ir.ExternalTensor:
    tensor = value.const_value
    assert tensor is not None
    shape, name = cast("ir.Shape", tensor.shape), value.name or ""
    return ir.ExternalTensor(
        path.name, offset, length, tensor.dtype, shape=shape, name=name, base_dir=path.parent
    )


def _write_all(write: Callable[[memoryview], int], data: bytes | memoryview) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[write(rest) :]
