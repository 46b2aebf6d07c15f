"""The file on disk: positioned reads that several threads may share, and proof that it has not changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from vampconv.errors import BadInputError, InputOutputError
from vampconv.files.regular import open_regular

CHUNK = 4 << 20
AGAIN = "download or copy the file again"


class Source:
    """An open regular file that is read by offset.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    InputOutputError
        If the file does not exist, may not be read, or is not a regular file.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.name
        self._file = open_regular(path, "checkpoint file")
        status = os.fstat(self._file.fileno())
        self.size = status.st_size
        self._stamp = (status.st_size, status.st_mtime_ns)
        self._sha256: str | None = None

    def close(self) -> None:
        self._file.close()

    def ensure_unchanged(self) -> None:
        """Raise BadInputError if the file's size or modification time is not what it was at opening."""
        status = os.fstat(self._file.fileno())
        if (status.st_size, status.st_mtime_ns) != self._stamp:
            raise BadInputError(
                f"{self.name} changed while it was being read", "run again once the file is complete"
            )

    def chunks(self, offset: int, length: int) -> Iterator[bytes]:
        """Yield exactly `length` bytes from `offset` in pieces of at most `CHUNK` bytes."""
        end = offset + length
        while offset < end:
            try:
                piece = os.pread(self._file.fileno(), min(CHUNK, end - offset), offset)
            except OSError as error:
                raise InputOutputError(
                    f"{self.name} cannot be read at byte {offset} ({error.strerror})", "check the disk"
                ) from None
            if not piece:
                raise BadInputError(f"{self.name} ends at byte {offset}, before byte {end}", AGAIN)
            offset += len(piece)
            yield piece

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes from `offset`."""
        return b"".join(self.chunks(offset, length))

    def fill(self, offset: int, target: memoryview) -> None:
        """Fill `target` (bytes) from `offset`."""
        position = 0
        for piece in self.chunks(offset, len(target)):
            target[position : position + len(piece)] = piece
            position += len(piece)

    def sha256(self) -> str:
        """The hexadecimal SHA-256 of the whole file."""
        if self._sha256 is None:
            self.ensure_unchanged()
            digest = hashlib.sha256()
            for piece in self.chunks(0, self.size):
                digest.update(piece)
            self.ensure_unchanged()
            self._sha256 = digest.hexdigest()
        return self._sha256
