"""Every bit of a tiny checkpoint, one at a time."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from vampconv.bench.fuzz.run import Findings, alarm, everything, in_memory, put, read_and_judge
from vampconv.bench.fuzz.seeds import seeds


def all_bits(data: bytes) -> Iterator[tuple[int, int]]:
    """Byte and bit of each."""
    return ((place, bit) for place in range(len(data)) for bit in range(8))


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """The bytes with one bit the other way round."""
    torn = bytearray(data)
    torn[place] ^= 1 << bit
    return bytes(torn)


def every_bit(keep: Path | None = None, bits: Iterable[tuple[int, int]] | None = None) -> Findings:
    """Read a checkpoint with each of some bits flipped: it must be refused, or read as before.

    Parameters
    ----------
    keep
        A directory for the files that are found to be problems.
    bits
        Bytes and bits; by default all.

    """
    data, began = seeds()[0].content, time.process_time()
    with in_memory() as (descriptor, path), alarm():
        found = Findings.born()
        put(descriptor, data)
        expected = everything(path)
        for number, (place, bit) in enumerate(all_bits(data) if bits is None else bits):
            put(descriptor, flipped(data, place, bit))
            problem = read_and_judge(path, found, number, expected)
            found.add("bit", problem and f"bit {bit} of byte {place}: {problem}")
            if problem and keep is not None:
                (keep / f"bit-{place}-{bit}.bin").write_bytes(flipped(data, place, bit))
    found.seconds = time.process_time() - began
    return found
