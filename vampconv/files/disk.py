"""What a disk is told and asked: to keep what was written, and whether more fits."""

from __future__ import annotations

import errno
import os
import resource
from pathlib import Path

from vampconv.errors import InputOutputError

SLACK = 1 << 20
"""Bytes that are to stay free, for directories and small files that are not counted."""
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF})


def sync(path: Path) -> None:
    """Flush a file or a directory to the disk; file systems that cannot flush a directory are let off."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC or not path.is_dir():
            raise
    finally:
        os.close(descriptor)


def require_room(directory: Path, needed: int, largest: int = 0) -> None:
    """Raise an error if files cannot be written to a directory for want of room, before any is begun.

    Parameters
    ----------
    directory
        Where they go.
    needed
        Bytes of all of them.
    largest
        Bytes of the largest one.

    Raises
    ------
    InputOutputError
        If the file system has not so much left, or this process may not write so large a file. A file system that
        does not tell what it has left (it has no blocks in all, then) is taken to have enough.

    """
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    if limit != resource.RLIM_INFINITY and largest > limit:
        raise InputOutputError(
            f"{megabytes(largest)} are to be written to one file in '{directory}', and {megabytes(limit)} are allowed",
            "raise the file size limit (ulimit -f)",
        )
    try:
        told = os.statvfs(directory)
    except OSError:
        return
    free = told.f_bavail * told.f_frsize
    if told.f_blocks and needed + SLACK > free:
        raise InputOutputError(
            f"{megabytes(needed)} are needed in '{directory}', and {megabytes(free)} are free",
            "free some space there or choose another place",
        )


def megabytes(amount: int) -> str:
    """So many bytes, for people."""
    return f"{amount / 1e6:,.1f} MB"
