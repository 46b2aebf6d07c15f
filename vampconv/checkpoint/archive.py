"""Zip containers: which records there are, after every claim of the directory has been checked."""

from __future__ import annotations

import io
import os
import struct
import zipfile
from collections.abc import Callable

from vampconv.checkpoint.ending import MAX_DIRECTORY, damaged, read_ending
from vampconv.checkpoint.record import Record
from vampconv.checkpoint.source import AGAIN, Source
from vampconv.errors import BadInputError, LimitError

_LOCAL = struct.Struct("<4s5H3I2H")
_DESCRIPTOR = 24
_ENCRYPTED, _HAS_DESCRIPTOR, _UTF8 = 0x1, 0x8, 0x800


class _Reader(io.RawIOBase):
    """A source as the seekable file that `zipfile` expects; reads of more than a directory are refused."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._source.size}[whence]
        if base + offset < 0:
            raise OSError("negative seek")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        rest = max(0, self._source.size - self._position)
        length = rest if size is None or size < 0 else min(size, rest)
        if length > MAX_DIRECTORY:
            raise LimitError(
                f"{self._source.name} has a zip directory of more than {MAX_DIRECTORY} bytes",
                "check the file",
            )
        data = self._source.read(self._position, length)
        self._position += length
        return data


def read_archive(source: Source, recognise: Callable[[Source, list[str]], None]) -> dict[str, Record]:
    """The records of a zip file by full name, in the order of its directory.

    Only what `torch.save` and `torch.package` write is taken: stored entries, distinct plain names, and
    entries that lie one after the other from the first byte to the directory, so that an entry that
    the directory has lost shows as a gap. The records of an archive without any checksum have none.

    Parameters
    ----------
    source
        The file.
    recognise
        Given the source and the names in the directory; raises if the archive is of another kind.

    Raises
    ------
    BadInputError
        If the directory is missing or any of this does not hold.
    LimitError
        If there are more records than are taken.

    """
    infos, directory = _directory(source)
    recognise(source, [info.orig_filename for info in infos])
    records: dict[str, Record] = {}
    offsets = {}
    # torch.serialization.set_crc32_options(False) leaves them out, all of them.
    unchecked = not any(info.CRC for info in infos)
    for info in infos:
        name = info.orig_filename
        _check_name(source, name)
        if name in records:
            raise BadInputError(f"{source.name} has two records named {name}", AGAIN)
        _check_stored(source, info)
        offsets[name] = _data_offset(source, info)
        records[name] = Record(source, name, offsets[name], info.file_size, None if unchecked else info.CRC)
    _check_extents(source, infos, offsets, directory)
    return {name: record for name, record in records.items() if not name.endswith("/")}


def _directory(source: Source) -> tuple[list[zipfile.ZipInfo], int]:
    ending = read_ending(source)
    try:
        with zipfile.ZipFile(_Reader(source)) as archive:
            infos, start = archive.infolist(), archive.start_dir
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OverflowError, struct.error, OSError):
        raise damaged(source) from None
    if (start, len(infos)) != (ending.start, ending.count):
        raise damaged(source)
    return infos, start


def _check_name(source: Source, name: str) -> None:
    parts = name.removesuffix("/").split("/")
    if not name.isprintable() or "\\" in name or not {"", ".", ".."}.isdisjoint(parts) or len(name) > 1024:
        raise BadInputError(f"{source.name} has a record with the unsafe name {name[:80]!r}", AGAIN)


def _check_stored(source: Source, info: zipfile.ZipInfo) -> None:
    name = info.orig_filename
    if info.flag_bits & _ENCRYPTED:
        raise BadInputError(f"{source.name}: record {name} is encrypted", "give the decrypted checkpoint")
    if info.compress_type != zipfile.ZIP_STORED:
        raise BadInputError(
            f"{source.name}: record {name} is compressed",
            "give the file that torch.save wrote, not a re-zipped one",
        )
    if info.compress_size != info.file_size:
        raise BadInputError(f"{source.name}: record {name} has two different sizes", AGAIN)
    if name.endswith("/") and info.file_size:
        raise BadInputError(f"{source.name}: the folder {name} holds bytes", AGAIN)


def _data_offset(source: Source, info: zipfile.ZipInfo) -> int:
    """Where the bytes of an entry begin: after its local header, which must agree with the directory."""
    name = info.orig_filename
    encoded = name.encode("utf-8" if info.flag_bits & _UTF8 else "cp437")
    lost = BadInputError(f"{source.name}: record {name} is not where the zip directory says", AGAIN)
    if info.header_offset < 0 or info.header_offset + _LOCAL.size + len(encoded) > source.size:
        raise lost
    header = source.read(info.header_offset, _LOCAL.size + len(encoded))
    magic, _, flags, method, _, _, _, _, _, name_size, extra_size = _LOCAL.unpack_from(header)
    if magic != b"PK\x03\x04" or name_size != len(encoded) or header[_LOCAL.size :] != encoded:
        raise lost
    if (flags, method) != (info.flag_bits, info.compress_type):
        raise BadInputError(f"{source.name}: record {name} disagrees with the zip directory", AGAIN)
    return int(info.header_offset + _LOCAL.size + name_size + extra_size)


def _check_extents(
    source: Source, infos: list[zipfile.ZipInfo], offsets: dict[str, int], directory: int
) -> None:
    position, slack = 0, 0
    for info in sorted(infos, key=lambda info: info.header_offset):
        _check_gap(source, position, info.header_offset, slack)
        position = offsets[info.orig_filename] + info.file_size
        slack = _DESCRIPTOR if info.flag_bits & _HAS_DESCRIPTOR else 0
    _check_gap(source, position, directory, slack)


def _check_gap(source: Source, end: int, start: int, slack: int) -> None:
    if start < end:
        raise BadInputError(f"{source.name} has zip records that overlap at byte {start}", AGAIN)
    if start > end + slack:
        raise BadInputError(f"{source.name} has bytes in no zip record at byte {end}", AGAIN)
