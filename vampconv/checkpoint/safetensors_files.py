"""Safetensors files, read by positioned reads alone.

The library of that name maps the file into memory, so that a file that shrinks meanwhile kills the process.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterator, Mapping
from typing import TypeGuard

from vampconv.checkpoint.dtypes import SAFETENSORS
from vampconv.checkpoint.plain import Plain
from vampconv.checkpoint.record import Record
from vampconv.checkpoint.source import AGAIN, Source
from vampconv.checkpoint.tensor import CheckpointTensor, Strided, check_total, make_tensor
from vampconv.checkpoint.torch_files import Parts
from vampconv.errors import BadInputError, LimitError

MAX_HEADER = 8 << 20
MAX_TENSORS = 16_384
_LENGTH = struct.Struct("<Q")
_METADATA = "__metadata__"
_WORDS, _NESTED = 32, 8
"""Quotation marks and brackets that the header may have for each tensor."""


class _HeaderError(Exception):
    """The header is malformed; the message says how."""


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
        header = _header(source, length)
        metadata = _metadata(header.pop(_METADATA, {}))
        tensors = {tensor.name: tensor for tensor in _tensors(source, header, _LENGTH.size + length)}
    except _HeaderError as error:
        raise BadInputError(f"{source.name} is not a sound safetensors file ({error})", AGAIN) from None
    source.ensure_unchanged()
    if not tensors:
        raise BadInputError(f"{source.name} holds no tensors", "give the model's checkpoint")
    check_total(tensors, source)
    plain = Plain(source.name)
    return Parts("safetensors", tensors, {key: plain(_value(text)) for key, text in metadata.items()}, (), ())


def _header(source: Source, length: int) -> dict[str, object]:
    if _LENGTH.size + length > source.size:
        raise _HeaderError("its header is cut short")
    text = source.read(_LENGTH.size, length)
    nested = text.count(b"[") + text.count(b"{")
    if text.count(b'"') > _WORDS * MAX_TENSORS or nested > _NESTED * MAX_TENSORS:
        raise LimitError(f"{source.name} names more than {MAX_TENSORS} tensors", "check the file")
    try:
        header = json.loads(text.decode("utf-8"), object_pairs_hook=_distinct)
    except (ValueError, RecursionError) as error:
        raise _HeaderError(f"its header is no JSON: {error}"[:120]) from None
    if not isinstance(header, dict):
        raise _HeaderError("its header is no JSON object")
    return header


def _distinct(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _metadata(value: object) -> Mapping[str, str]:
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise _HeaderError("its metadata are not text")
    return value


def _tensors(source: Source, header: Mapping[str, object], start: int) -> Iterator[CheckpointTensor]:
    """The tensors, which lie one after the other from `start` to the end of the file."""
    entries = [(name, *_entry(name, entry)) for name, entry in header.items()]
    offset = 0
    for name, kind, shape, begin, end in sorted(entries, key=lambda entry: entry[3:]):
        dtype = SAFETENSORS.get(kind)
        if dtype is None:
            raise BadInputError(
                f"{source.name}: tensor {name} has unsupported elements ({kind[:40]})",
                "save it as real numbers",
            )
        size = math.prod(shape) * dtype.itemsize
        if begin != offset or end != offset + size:
            raise _HeaderError(
                f"tensor {name} of {size} bytes lies at {begin} to {end}, not from {offset} on"[:200]
            )
        if start + end > source.size:
            raise _HeaderError(f"tensor {name} reaches beyond the file"[:200])
        record = Record(source, name, start + offset, size, None)
        yield make_tensor(name, dtype, Strided(0, shape, _dense(shape)), record)
        offset = end
    if start + offset != source.size:
        raise _HeaderError(f"{source.size - start - offset} bytes are in no tensor")


def _entry(name: str, entry: object) -> tuple[str, tuple[int, ...], int, int]:
    """Type, shape, first byte and the byte after the last."""
    match entry:
        case {"dtype": str() as kind, "shape": list() as shape, "data_offsets": [begin, end]}:
            if all(map(_is_count, (*shape, begin, end))):
                return kind, tuple(shape), begin, end
    raise _HeaderError(f"the entry of {name} is not what it should be"[:200])


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def _value(text: str) -> object:
    """A metadata value; one that is JSON counts as what it says."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
