"""Mutations of bytes that know nothing of what they mean."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

INTERESTING = (
    0,
    1,
    2,
    7,
    16,
    127,
    128,
    255,
    256,
    0x7FFF,
    0x8000,
    0xFFFF,
    1 << 20,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
)
WIDE = (*INTERESTING, 1 << 32, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)

Mutation = Callable[[random.Random, bytes, Sequence[bytes]], bytes]
"""Makes other bytes of some, of draws and of all files that there are."""


def flip(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    torn = bytearray(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        torn[draw.randrange(len(torn))] ^= 1 << draw.randrange(8)
    return bytes(torn)


def overwrite(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """A number of one to eight bytes at a place."""
    width = draw.choice((1, 2, 4, 8))
    value = draw.choice(WIDE) if draw.random() < 0.8 else draw.getrandbits(8 * width)
    at = draw.randrange(max(1, len(data) - width))
    return data[:at] + (value & ((1 << 8 * width) - 1)).to_bytes(width, "little") + data[at + width :]


def cut(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    return data[: draw.randrange(len(data))]


def drop(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, length = draw.randrange(len(data)), draw.choice((1, 2, 8, 64, 300))
    return data[:start] + data[start + length :]


def double(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, length = draw.randrange(len(data)), draw.choice((1, 2, 8, 64, 300))
    return data[: start + length] + data[start:]


def extend(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    more = draw.randbytes(draw.choice((1, 4, 22, 100)))
    return data + more if draw.random() < 0.5 else more + data


def splice(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The beginning of a file and the end of another."""
    other = draw.choice(others)
    return data[: draw.randrange(len(data))] + other[draw.randrange(len(other)) :]


def blank(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    start, length = draw.randrange(len(data)), draw.choice((4, 32, 256))
    filler = draw.choice((b"\0", b"\xff"))
    return data[:start] + filler * len(data[start : start + length]) + data[start + length :]


def exchange(draw: random.Random, data: bytes, _others: Sequence[bytes]) -> bytes:
    """Two stretches of a file, each in the other's place."""
    length = draw.choice((1, 4, 16, 64))
    first, second = sorted(draw.randrange(max(1, len(data) - length)) for _ in range(2))
    second = max(second, first + length)
    one, two = data[first : first + length], data[second : second + length]
    return data[:first] + two + data[first + length : second] + one + data[second + length :]


RAW: tuple[Mutation, ...] = (flip, flip, overwrite, cut, drop, double, extend, splice, blank, exchange)
