"""Names under which files are written before they are put in place, and what killed writers left there.

A writer claims each directory that it writes to: a file ``.vamp-TOKEN.lock``, on which it holds a lock as long as it
lives, and beside it ``.NAME.vamp-TOKEN`` for each file NAME that is to be.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

LONGEST_NAME = 200
"""Bytes of a file's name that still fit into that of its staged one."""

_LOCK = re.compile(r"\.vamp-([0-9a-f]{16})\.lock")


@dataclass(frozen=True)
class Claim:
    """A directory that is written to."""

    directory: Path
    token: str
    descriptor: int
    """Holds the lock."""

    def staged(self, name: str) -> Path:
        """Where to write what becomes a file of this name."""
        content = os.fsencode(name)
        short = name if len(content) <= LONGEST_NAME else hashlib.sha256(content).hexdigest()[:32]
        return self.directory / f".{short}.vamp-{self.token}"

    def release(self) -> None:
        """Give it up; nothing is staged any more."""
        with suppress(OSError):
            _lock_of(self.directory, self.token).unlink()
        os.close(self.descriptor)


def claim(directory: Path) -> Claim:
    """Claim a directory. On a file system without locks `sweep` never touches it.

    Raises
    ------
    OSError
        If nothing can be written there.

    """
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    while True:
        token = secrets.token_hex(8)
        path = _lock_of(directory, token)
        descriptor = os.open(path, flags, 0o666)
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        # A sweeper that saw the file before it was locked has taken it away.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), path.lstat()):
                return Claim(directory, token, descriptor)
        os.close(descriptor)


def sweep(directory: Path) -> None:
    """Remove what writers that were killed left in a directory; those that live hold their locks."""
    with suppress(OSError):
        tokens = [match[1] for path in directory.iterdir() if (match := _LOCK.fullmatch(path.name))]
        for token in tokens:
            _remove_if_dead(directory, token)


def _remove_if_dead(directory: Path, token: str) -> None:
    lock = _lock_of(directory, token)
    with suppress(OSError):
        descriptor = os.open(lock, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in directory.glob(f".*.vamp-{token}"):
                path.unlink(missing_ok=True)
            lock.unlink()
        finally:
            os.close(descriptor)


def _lock_of(directory: Path, token: str) -> Path:
    return directory / f".vamp-{token}.lock"
