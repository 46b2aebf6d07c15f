"""Zip archives whose every field may lie, as `torch.save` lays them out."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from .pickles import Raw, program, state

LOCAL, CENTRAL = struct.Struct("<4s5H3I2H"), struct.Struct("<4s6H3I5H2I")
END = struct.Struct("<4s4H2IH")
END64, LOCATOR = struct.Struct("<4sQ2H2I4Q"), struct.Struct("<4sIQI")


@dataclass
class Entry:
    """A record; what is None is told as it is, and ``central_…`` only in the directory."""

    name: str
    data: bytes
    method: int = 0
    flags: int = 0x800
    crc: int | None = None
    size: int | None = None
    packed: int | None = None
    central_name: str | None = None
    central_size: int | None = None
    central_flags: int | None = None
    offset: int | None = None
    extra: bytes = b""
    after: bytes = b""


def archive(
    entries: Iterable[Entry],
    *,
    prefix: bytes = b"",
    before_directory: bytes = b"",
    comment: bytes = b"",
    count: int | None = None,
    directory: tuple[int | None, int | None] = (None, None),
    zip64: Mapping[str, int] | None = None,
) -> bytes:
    """The bytes of a zip file.

    Parameters
    ----------
    entries
        The records, in order.
    prefix, before_directory, comment
        Bytes where there should be none.
    count
        Of the records, as the end of the directory tells it.
    directory
        Its size and offset, as told.
    zip64
        Fields of the zip64 end of the directory that are told otherwise than they are; none without it.

    """
    body, central = bytearray(prefix), bytearray()
    total = 0
    for e in entries:
        total += 1
        at = len(body)
        packed = zlib.compress(e.data)[2:-4] if e.method == 8 else e.data
        crc = zlib.crc32(e.data) if e.crc is None else e.crc
        size = len(e.data) if e.size is None else e.size
        told = len(packed) if e.packed is None else e.packed
        short, long = e.name.encode(), (e.central_name or e.name).encode()
        body += LOCAL.pack(b"PK\3\4", 20, e.flags, e.method, 0, 33, crc, told, size, len(short), len(e.extra))
        body += short + e.extra + packed + e.after
        central_size = size if e.central_size is None else e.central_size
        flags = e.flags if e.central_flags is None else e.central_flags
        place = at if e.offset is None else e.offset
        fields = (
            b"PK\1\2",
            20,
            20,
            flags,
            e.method,
            0,
            33,
            crc,
            told if e.central_size is None else central_size,
        )
        central += CENTRAL.pack(*fields, central_size, len(long), 0, 0, 0, 0, 0, place) + long
    body += before_directory
    start, length = len(body), len(central)
    length = length if directory[0] is None else directory[0]
    told_start = start if directory[1] is None else directory[1]
    body += central
    if zip64 is not None:
        where = len(body)
        fields64 = {"size": 44, "count": total, "length": length, "start": told_start, "where": where} | dict(
            zip64
        )
        body += END64.pack(
            b"PK\6\6",
            fields64["size"],
            45,
            45,
            0,
            0,
            fields64["count"],
            fields64["count"],
            fields64["length"],
            fields64["start"],
        )
        body += LOCATOR.pack(b"PK\6\7", 0, fields64["where"], 1)
        length, told_start, total = 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFF
    told_count = (total if count is None else count) & 0xFFFF
    return (
        bytes(body)
        + END.pack(b"PK\5\6", 0, 0, told_count, told_count, length, told_start, len(comment))
        + comment
    )


def entries_of(pickle: bytes, storages: Mapping[str, bytes], top: str = "model") -> list[Entry]:
    """The records that `torch.save` writes."""
    found = [Entry(f"{top}/data.pkl", pickle), Entry(f"{top}/byteorder", b"little")]
    found += [Entry(f"{top}/data/{key}", data) for key, data in storages.items()]
    return [*found, Entry(f"{top}/version", b"3\n")]


def around(pickle: bytes, storages: Mapping[str, bytes] | None = None, **options: Any) -> bytes:
    """An archive of `torch.save` around any pickle."""
    return archive(entries_of(pickle, storages or {}), **options)


def checkpoint(arrays: Mapping[Any, Any], kwargs: Any = None, protocol: int = 2, **more: Any) -> bytes:
    """A checkpoint as audiotools saves it: state dict, and metadata with the model's arguments."""
    tensors, storages = state(arrays)
    value = {"state_dict": tensors, "metadata": {"kwargs": {} if kwargs is None else kwargs}, **more}
    return around(program(value, protocol), storages)


def bare(value: Any, count: int = 4) -> bytes:
    """An archive of one storage of `count` float32 numbers, and a pickle of any value."""
    return around(program(value), {"0": bytes(4 * count)})


def changed(old: bytes, which: str, **fields: Any) -> bytes:
    """The archive again, with fields of the record whose name ends with `which` changed."""
    made = [replace(e, **fields) if e.name.endswith(which) else e for e in reread(old)]
    return archive(made)


def reread(data: bytes) -> list[Entry]:
    """The records of a sound archive."""
    import io
    import zipfile

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return [Entry(i.filename, file.read(i)) for i in file.infolist()]


def safetensors(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    written = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(written)) + written + data


__all__ = [
    "Entry",
    "Raw",
    "archive",
    "around",
    "bare",
    "changed",
    "checkpoint",
    "entries_of",
    "reread",
    "safetensors",
]
