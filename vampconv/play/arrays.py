"""Tokens, masks and controls in files."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from vampconv.errors import BadInputError, LimitError
from vampconv.files.regular import read_regular

Array = NDArray[Any]


LONGEST_FILE = 256 << 20
LONGEST_ARRAY = 128 << 20
"""Bytes that an array may unfold to: five hours of tokens."""


def read_array(path: Path, name: str) -> Array:
    """The array of a ``.npy`` file, or the one of this name or the only one of a ``.npz`` file.

    Raises
    ------
    BadInputError
        If it is neither, or damaged, or has no such array.
    InputOutputError
        If it cannot be read.
    LimitError
        If the file has more than `LONGEST_FILE` bytes, or the array more than `LONGEST_ARRAY`.

    """
    content = read_regular(path, LONGEST_FILE)
    try:
        return _array(_member(content, path, name) if content.startswith(b"PK") else content)
    except (ValueError, EOFError, RecursionError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from error
    except (NotImplementedError, OSError, RuntimeError) as error:  # an unknown or encrypted record
        raise _damaged(path, error) from error


def _member(content: bytes, path: Path, name: str) -> bytes:
    """The bytes of an array in an archive, no more of them than may be."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        chosen = names.get(name) or (next(iter(names.values())) if len(names) == 1 else None)
        if chosen is None:
            listed = ", ".join(names) or "nothing"
            raise BadInputError(f"{path} holds {listed}, and no {name!r}", f"save it as {name}=")
        if chosen.file_size > LONGEST_ARRAY:
            raise LimitError(
                f"{path} unfolds to {chosen.file_size} bytes, more than {LONGEST_ARRAY}",
                "vamp shorter pieces",
            )
        with archive.open(chosen) as file:
            return file.read(chosen.file_size)


def _array(content: bytes) -> Array:
    """The array in the bytes of a ``.npy`` file; its header says neither more nor less than there is."""
    file = io.BytesIO(content)
    version = npy.read_magic(file)
    read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
    shape, fortran, dtype = read(file)
    data = content[file.tell() :]
    if dtype.hasobject or min(shape, default=0) < 0:
        raise ValueError(f"it is an array of {dtype}")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"it has {len(data)} bytes, and says {dtype} {list(shape)}"[:200])
    if not data:
        return np.empty([min(size, 1) for size in shape], dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()


def _damaged(path: Path, error: Exception) -> BadInputError:
    told = str(error).splitlines()[0] if str(error) else type(error).__name__
    return BadInputError(f"{path} is not an array of numpy, or damaged: {told}", "give a .npy or .npz file")


def read_tokens(path: Path) -> NDArray[np.int64]:
    """Codes int64 [channels, n_codebooks, time] of a file that ``--save-tokens`` wrote, or any array of codes.

    Raises
    ------
    BadInputError
        If they are not whole numbers, or of another rank.

    """
    codes = read_array(path, "codes")
    if codes.dtype.kind not in "iu" or codes.ndim not in (2, 3) or not codes.size:
        raise BadInputError(
            f"{path}: {codes.dtype} {list(codes.shape)} are no tokens",
            "give whole numbers [n_codebooks, time] or [channels, n_codebooks, time]",
        )
    return codes.reshape(-1, *codes.shape[-2:]).astype(np.int64)


def read_floats(files: Mapping[str, Path]) -> dict[str, NDArray[np.float32]]:
    """Controls or their masks, by name, float32; a batch of one may be left out."""
    found = {}
    for name, path in files.items():
        array = read_array(path, name)
        if array.dtype.kind not in "fiub":
            raise BadInputError(f"{path} holds {array.dtype}", "give float32")
        found[name] = array.astype(np.float32)
    return found


def tokens_file(arrays: Mapping[str, Array]) -> bytes:
    """The content of a ``.npz`` file."""
    content = io.BytesIO()
    np.savez_compressed(content, **dict(arrays))  # type: ignore[arg-type]
    return content.getvalue()
