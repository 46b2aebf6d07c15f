"""Mutations that know how a container is laid out, and keep its checksums right."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from vampconv.bench.fuzz.pickles import mutated
from vampconv.bench.fuzz.raw import WIDE

Records = tuple[tuple[str, bytes], ...]
PICKLES = ("/data.pkl", ".pth")
FIELDS = {
    b"PK\x03\x04": ((4, 2), (6, 2), (8, 2), (14, 4), (18, 4), (22, 4), (26, 2), (28, 2)),
    b"PK\x01\x02": ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (28, 2), (30, 2), (32, 2), (34, 2), (42, 4)),
    b"PK\x05\x06": ((4, 2), (6, 2), (8, 2), (10, 2), (12, 4), (16, 4), (20, 2)),
    b"PK\x06\x06": ((4, 8), (24, 8), (32, 8), (40, 8), (48, 8)),
    b"PK\x06\x07": ((4, 4), (8, 8), (16, 4)),
}
"""Places and widths of the fields of each header of a zip file."""


@lru_cache(64)
def records_of(data: bytes) -> Records:
    """The records of a sound archive."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return tuple((info.filename, archive.read(info)) for info in archive.infolist())


def rebuilt(records: Sequence[tuple[str, bytes]]) -> bytes:
    """An archive of records, stored one after another."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, data in records:
            # A name that is there already is what a mutation may want; ZipInfo does not warn of it.
            info = zipfile.ZipInfo(name)
            archive.NameToInfo.pop(name, None)
            archive.writestr(info, data)
    return out.getvalue()


def pickle_changed(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The archive around a mutated pickle, its checksum right."""
    strange = [d for other in others for n, d in records_of(other) if n.endswith(PICKLES)]
    return rebuilt(
        [(n, mutated(draw, d, strange) if n.endswith(PICKLES) else d) for n, d in records_of(data)]
    )


def records_changed(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The archive with a record dropped, doubled, moved, renamed, cut, or with another's bytes."""
    records = list(records_of(data))
    for _ in range(draw.choice((1, 1, 2))):
        at, other = draw.randrange(len(records)), draw.randrange(len(records))
        name, content = records[at]
        kind = draw.randrange(6)
        if kind == 0 and len(records) > 1:
            del records[at]
        elif kind == 1:
            records.insert(other, (name, content))
        elif kind == 2:
            records[at], records[other] = records[other], records[at]
        elif kind == 3:
            records[at] = (
                draw.choice((records[other][0], f"{name}x", "a/b", name[1:] or "a", f"{name}/")),
                content,
            )
        elif kind == 4:
            records[at] = (name, content[: draw.randrange(len(content) + 1)])
        else:
            records[at] = (name, draw.choice(records_of(draw.choice(others)))[1])
    return rebuilt(records)


def field_changed(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """The archive with a lie in a field of one of its headers."""
    magic = draw.choice(tuple(FIELDS))
    places, start = [], data.find(magic)
    while start >= 0:
        places.append(start)
        start = data.find(magic, start + 1)
    if not places:
        return data[:-1]
    offset, width = draw.choice(FIELDS[magic])
    at = draw.choice(places) + offset
    value = int.from_bytes(data[at : at + width], "little")
    value = draw.choice(
        (draw.choice(WIDE), value + 1, value - 1, value * 2, value ^ 1 << draw.randrange(8 * width))
    )
    return data[:at] + (value & ((1 << 8 * width) - 1)).to_bytes(width, "little") + data[at + width :]


ARCHIVE = (pickle_changed, pickle_changed, pickle_changed, records_changed, field_changed)


def header_changed(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """A safetensors file with another value somewhere in its header."""
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    entry = header[draw.choice(list(header))]
    key = draw.choice(list(entry))
    values: tuple[Any, ...] = (
        "F32",
        "F64",
        "C64",
        "",
        None,
        [],
        {},
        [0],
        [-1],
        [1 << 62, 1 << 62],
        *map(float, WIDE),
        *WIDE,
    )
    value = entry[key]
    if isinstance(value, list) and value and draw.random() < 0.7:
        value[draw.randrange(len(value))] = draw.choice(values)
    else:
        entry[draw.choice((key, "shape", "dtype", "data_offsets", "x\x1b"))] = draw.choice(values)
    text = json.dumps(header).encode()
    told = len(text) if draw.random() < 0.9 else draw.choice(WIDE)
    return struct.pack("<Q", told) + text + data[8 + length :]


SHEAF = (header_changed,)
