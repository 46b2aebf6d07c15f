"""Opening files that strangers may have named or made: regular ones only, and no more of them than is sensible."""

from __future__ import annotations

import io
import json
import os
import stat
from pathlib import Path
from typing import Any

from vampconv.errors import InputOutputError, LimitError

LONGEST_JSON = 64 << 20
"""Bytes of the longest manifest that is read; one of a full-size bundle has less than a hundredth of it."""


def open_regular(path: Path, what: str = "file") -> io.FileIO:
    """Open a regular file for reading; a pipe is not waited for, and a device not read.

    Parameters
    ----------
    path
        The file.
    what
        That it should be, for messages.

    Raises
    ------
    InputOutputError
        If it does not exist, may not be read, or is not a regular file.

    """
    try:
        opened = io.FileIO(path, opener=_open_without_waiting)
    except FileNotFoundError:
        raise InputOutputError(f"{path} does not exist", "check the path") from None
    except IsADirectoryError:
        raise InputOutputError(f"{path} is a directory", f"give a {what} in it") from None
    except PermissionError:
        raise InputOutputError(f"{path} may not be read", "check the permissions of the file") from None
    except OSError as error:
        raise InputOutputError(f"{path} cannot be opened ({error.strerror})", "check the path") from None
    except ValueError:
        raise InputOutputError(f"{path} is not a path", f"give the path of a {what}") from None
    if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
        opened.close()
        raise InputOutputError(f"{path} is not a regular file", "copy its contents to a file first")
    return opened


def _open_without_waiting(path: str, flags: int) -> int:
    # Opening a named pipe would otherwise wait for a writer.
    return os.open(path, flags | os.O_NONBLOCK)


def read_regular(path: Path, longest: int, what: str = "file") -> bytes:
    """The content of a regular file.

    Raises
    ------
    InputOutputError
        As `open_regular`, or if it cannot be read.
    LimitError
        If it has more than `longest` bytes.

    """
    with open_regular(path, what) as file:
        size = os.fstat(file.fileno()).st_size
        if size > longest:
            raise LimitError(f"{path} has {size} bytes, more than {longest}", "check the file")
        try:
            with io.BufferedReader(file) as buffered:
                return buffered.read(size)  # no more, though the file may grow meanwhile
        except OSError as error:
            raise InputOutputError(f"{path} cannot be read: {error.strerror}", "check the disk") from None


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises
    ------
    ValueError
        If it is not JSON, or nested too deep.
    VampconvError
        As `read_regular`.

    """
    content = read_regular(path, LONGEST_JSON)
    try:
        return json.loads(content.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deep") from None
