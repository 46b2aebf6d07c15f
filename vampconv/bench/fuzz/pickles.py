"""Mutations of a pickle, opcode by opcode."""

from __future__ import annotations

import pickletools
import random
import struct
from collections.abc import Sequence
from functools import lru_cache

from vampconv.bench.fuzz.raw import WIDE

NAMES = (
    "collections\nOrderedDict", "builtins\nset", "builtins\ndict", "builtins\nlist", "builtins\ntuple",
    "builtins\neval",
    "torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_tensor_v3", "torch._utils\n_rebuild_parameter",
    "torch\nSize", "torch\ndevice", "torch\nfloat16", "torch\nFloatStorage", "torch\nUntypedStorage", "os\nsystem",
    "numpy\ndtype", "numpy\nndarray", "numpy._core.multiarray\nscalar", "numpy._core.multiarray\n_reconstruct",
    "numpy._core.numeric\n_frombuffer", "_codecs\nencode", "pathlib\nPosixPath", "copyreg\n_reconstructor",
    "torch._tensor\n_rebuild_from_type_v2", "collections\ndefaultdict",
)  # fmt: skip
WORDS = (
    "storage",
    "state_dict",
    "metadata",
    "kwargs",
    "f8",
    "U2",
    "latin1",
    "_modules",
    "_parameters",
    "_buffers",
    "w",
)
PLAIN = tuple(op.code.encode("latin-1") for op in pickletools.opcodes if op.arg is None)


@lru_cache(64)
def opcodes(data: bytes) -> tuple[bytes, ...]:
    """The pickle in pieces of one opcode with its argument."""
    starts = [position or 0 for _, _, position in pickletools.genops(data)]
    return tuple(data[a:b] for a, b in zip(starts, [*starts[1:], len(data)], strict=True))


def mutated(draw: random.Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The pickle with a few opcodes dropped, doubled, exchanged, put in, or with another argument."""
    pieces = list(opcodes(data))
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        at = draw.randrange(len(pieces))
        kind = draw.randrange(7)
        if kind == 0 and len(pieces) > 1:
            del pieces[at]
        elif kind == 1:
            pieces.insert(at, pieces[draw.randrange(len(pieces))])
        elif kind == 2:
            other = draw.randrange(len(pieces))
            pieces[at], pieces[other] = pieces[other], pieces[at]
        elif kind == 3:
            pieces[at] = _opcode(draw)
        elif kind == 4:
            pieces.insert(at, _opcode(draw))
        elif kind == 5:
            strange = opcodes(draw.choice(others))
            start = draw.randrange(len(strange))
            pieces[at:at] = strange[start : start + draw.choice((1, 3, 10, 40))]
        else:
            pieces[at] = _argument(draw, pieces[at])
    return b"".join(pieces)


def _opcode(draw: random.Random) -> bytes:
    kind = draw.randrange(6)
    if kind < 2:
        return draw.choice(PLAIN)
    if kind == 2:
        return b"c" + draw.choice(NAMES).encode() + b"\n"
    if kind == 3:
        word = draw.choice(WORDS).encode()
        return b"X" + struct.pack("<I", len(word)) + word
    if kind == 4:
        return bytes([*draw.choice((b"h", b"q", b"K")), draw.randrange(256)])
    return b"\x8a" + bytes([9]) + draw.choice(WIDE).to_bytes(9, "little", signed=True)


def _argument(draw: random.Random, piece: bytes) -> bytes:
    """The opcode with another argument: a number of the same width, or bytes of the same length."""
    if len(piece) < 2:
        return draw.choice(PLAIN)
    if piece[:1] in b"KMJhqrjB" or draw.random() < 0.3:
        width = min(len(piece) - 1, 8)
        value = draw.choice(WIDE) & ((1 << 8 * width) - 1)
        return piece[:1] + value.to_bytes(width, "little") + piece[1 + width :]
    at = draw.randrange(1, len(piece))
    return piece[:at] + bytes([draw.randrange(256)]) + piece[at + 1 :]
