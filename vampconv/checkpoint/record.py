"""A run of bytes in the file that one storage occupies, with its checksum where the container has one."""

from __future__ import annotations

import zlib

from vampconv.checkpoint.source import AGAIN, Source
from vampconv.errors import BadInputError


class Record:
    """Bytes `offset` to `offset + size` of a source.

    Parameters
    ----------
    source
        The file.
    name
        The name of the record, for messages and as its identity.
    offset, size
        In bytes; the caller has checked that they lie in the file.
    crc32
        The checksum that the container gives, or None where it gives none.

    """

    __slots__ = ("_checked", "crc32", "name", "offset", "size", "source")

    def __init__(self, source: Source, name: str, offset: int, size: int, crc32: int | None) -> None:
        self.source = source
        self.name = name
        self.offset = offset
        self.size = size
        self.crc32 = crc32
        self._checked = crc32 is None

    def check(self) -> None:
        """Compare the checksum with the bytes, once; raise BadInputError if they differ."""
        if self._checked:
            return
        crc = 0
        for piece in self.source.chunks(self.offset, self.size):
            crc = zlib.crc32(piece, crc)
        self._compare(crc)

    def fill(self, start: int, target: memoryview, user: str = "") -> None:
        """Fill `target` from byte `start` of the record.

        Raises
        ------
        BadInputError
            If the record does not match its checksum, or the file was cut short or changed; `user`
            names the tensor that is read.

        """
        whole = start == 0 and len(target) == self.size
        if not whole:
            self.check()
        self.source.fill(self.offset + start, target)
        if whole and self.crc32 is not None:
            self._compare(zlib.crc32(target), user)
        self.source.ensure_unchanged()

    def read(self) -> bytes:
        """The whole record, compared with its checksum."""
        data = self.source.read(self.offset, self.size)
        if self.crc32 is not None:
            self._compare(zlib.crc32(data))
        return data

    def _compare(self, crc: int, user: str = "") -> None:
        if crc != self.crc32:
            what = f"{user} (record {self.name})" if user else f"record {self.name}"
            raise BadInputError(f"{self.source.name}: {what} is damaged (its CRC-32 differs)", AGAIN)
        self._checked = True
