"""The end of a zip file: what it says of the directory, held against the file before the directory is read."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vampconv.checkpoint.source import AGAIN, Source
from vampconv.errors import BadInputError, LimitError

MAX_RECORDS = 16_384
MAX_DIRECTORY = 4 << 20
SMALLEST = 46
"""Bytes of a record's entry in the directory without its name."""
_END = struct.Struct("<4s4H2IH")
_LOCATOR = struct.Struct("<4sIQI")
_END64 = struct.Struct("<4sQ2H2I4Q")
_END64_REST = 12
"""Bytes of the 64-bit end that its own size does not count."""
_SHORT, _LONG = 0xFFFF, 0xFFFFFFFF
"""What stands in the short end for a number that only the 64-bit end gives."""


@dataclass(frozen=True, slots=True)
class Ending:
    """Where the directory of a zip file lies, and how many records it lists."""

    start: int
    count: int


def read_ending(source: Source) -> Ending:
    """The end of a zip file, which must be the end of the file as well.

    Raises
    ------
    BadInputError
        If it is missing, contradicts itself, or says that the directory lies elsewhere than right before it.
    LimitError
        If it tells more than `MAX_RECORDS` records, or a directory of more than `MAX_DIRECTORY` bytes.

    """
    at = source.size - _END.size
    if at < 0:
        raise damaged(source)
    magic, disk, first, here, count, size, start, comment = _END.unpack(source.read(at, _END.size))
    if magic != b"PK\x05\x06" or comment:
        raise damaged(source)
    numbers: tuple[int, ...] = (here, count, size, start)
    told = numbers
    disks = {(disk, _SHORT), (first, _SHORT)}
    long = _long_ending(source, at)
    if long is not None:
        at, told = long
        wide = (_SHORT, _SHORT, _LONG, _LONG)
        numbers = tuple(n if s == most else s for s, n, most in zip(numbers, told, wide, strict=True))
    here, count, size, start = told
    whole = here == count and start + size == at and size >= count * SMALLEST
    if numbers != told or not whole or any(number not in (0, most) for number, most in disks):
        raise damaged(source)
    if count > MAX_RECORDS or size > MAX_DIRECTORY:
        raise LimitError(
            f"{source.name} has {count} records in a zip directory of {size} bytes, more than {MAX_RECORDS} or "
            f"{MAX_DIRECTORY}",
            "check the file",
        )
    return Ending(start, count)


def _long_ending(source: Source, at: int) -> tuple[int, tuple[int, int, int, int]] | None:
    """Where the 64-bit end begins, and its numbers; None where there is none before byte `at`."""
    at -= _LOCATOR.size
    if at < 0:
        return None
    magic, disk, where, disks = _LOCATOR.unpack(source.read(at, _LOCATOR.size))
    if magic != b"PK\x06\x07":
        return None
    if disk or disks > 1 or where != at - _END64.size or where < 0:
        raise damaged(source)
    magic, size, _, _, disk, first, *numbers = _END64.unpack(source.read(where, _END64.size))
    if magic != b"PK\x06\x06" or size != _END64.size - _END64_REST or disk or first:
        raise damaged(source)
    here, count, length, start = numbers
    return where, (here, count, length, start)


def damaged(source: Source) -> BadInputError:
    """The error of a directory that cannot be read."""
    return BadInputError(
        f"{source.name} is a zip archive whose directory is missing or damaged, perhaps cut short", AGAIN
    )
