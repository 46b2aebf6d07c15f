"""Tokens, masks and controls in files."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError, InputOutputError

Array = NDArray[Any]


def read_array(path: Path, name: str) -> Array:
    """The array of a ``.npy`` file, or the one of this name or the only one of a ``.npz`` file.

    Raises
    ------
    BadInputError
        If it is neither, or damaged, or has no such array.
    InputOutputError
        If it cannot be read.

    """
    try:
        content = path.read_bytes()
        loaded = np.load(io.BytesIO(content), allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded as archive:
            chosen = (
                name if name in archive.files else (archive.files[0] if len(archive.files) == 1 else None)
            )
            if chosen is None:
                listed = ", ".join(archive.files) or "nothing"
                raise BadInputError(f"{path} holds {listed}, and no {name!r}", f"save it as {name}=")
            return np.asarray(archive[chosen])
    except OSError as error:
        if error.errno is None:
            raise _damaged(path, error) from error
        raise InputOutputError(f"{path} cannot be read: {error.strerror}", "check its path") from error
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise _damaged(path, error) from error


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
