"""Safetensors files: the header by the `safetensors` library, the elements by our own positioned reads.

The library would map the file, so that a file that shrinks kills the process, and gives numpy no bfloat16.
"""

from __future__ import annotations

import json
import math
import os
import struct
from collections.abc import Iterator
from typing import Any

from safetensors import SafetensorError, safe_open

from vampconv.checkpoint.dtypes import SAFETENSORS
from vampconv.checkpoint.plain import Plain
from vampconv.checkpoint.record import Record
from vampconv.checkpoint.source import AGAIN, Source
from vampconv.checkpoint.tensor import CheckpointTensor, Strided, make_tensor
from vampconv.checkpoint.torch_files import Parts
from vampconv.errors import BadInputError, LimitError

MAX_HEADER = 64 << 20
MAX_TENSORS = 100_000
_LENGTH = struct.Struct("<Q")


def looks_like_safetensors(head: bytes) -> bool:
    """Whether the file begins with a header length and a JSON object."""
    return len(head) > 9 and head[8:9] == b"{" and 2 <= _LENGTH.unpack_from(head)[0] < 1 << 40


def read_safetensors(source: Source) -> Parts:
    """Read the header; tensors come in the order of their bytes in the file.

    Raises
    ------
    BadInputError
        If the header is malformed, or does not describe exactly the bytes of the file.
    LimitError
        If the header is larger than `MAX_HEADER` or names more than `MAX_TENSORS` tensors.

    """
    (length,) = _LENGTH.unpack(source.read(0, _LENGTH.size))
    if length > MAX_HEADER:
        raise LimitError(
            f"{source.name} has a header of {length} bytes, more than {MAX_HEADER}", "check the file"
        )
    try:
        _check_header(source, source.read(_LENGTH.size, min(length, source.size - _LENGTH.size)))
        with safe_open(os.fspath(source.path), framework="numpy") as file:
            tensors = {tensor.name: tensor for tensor in _tensors(source, file, _LENGTH.size + length)}
            plain = Plain(source.name)
            metadata = {key: plain(_value(value)) for key, value in (file.metadata() or {}).items()}
    except (SafetensorError, OSError, UnicodeError) as error:
        raise BadInputError(f"{source.name} is not a sound safetensors file ({error})", AGAIN) from None
    source.ensure_in_place()
    if not tensors:
        raise BadInputError(f"{source.name} holds no tensors", "give the model's checkpoint")
    return Parts("safetensors", tensors, metadata, (), ())


def _check_header(source: Source, header: bytes) -> None:
    if header.count(b"[") + header.count(b"{") > 8 * MAX_TENSORS:
        raise LimitError(f"{source.name} names more than {MAX_TENSORS} tensors", "check the file")


def _tensors(source: Source, file: Any, start: int) -> Iterator[CheckpointTensor]:
    """The library has checked that the tensors lie one after the other; so their sizes give the offsets."""
    offset = start
    for name in file.offset_keys():
        view = file.get_slice(name)
        dtype = SAFETENSORS.get(view.get_dtype())
        if dtype is None:
            raise BadInputError(
                f"{source.name}: tensor {name} has unsupported elements ({view.get_dtype()})",
                "save it as real numbers",
            )
        shape = tuple(int(size) for size in view.get_shape())
        size = math.prod(shape) * dtype.itemsize
        if offset + size > source.size:
            raise BadInputError(f"{source.name}: tensor {name} reaches beyond the file", AGAIN)
        yield make_tensor(
            name, dtype, Strided(0, shape, _dense(shape)), Record(source, name, offset, size, None)
        )
        offset += size
    if offset != source.size:
        raise BadInputError(f"{source.name} has {source.size - offset} bytes in no tensor", AGAIN)


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _value(text: str) -> object:
    """A metadata value; one that is JSON counts as what it says."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
