"""Archives that lie about their records."""

from __future__ import annotations

import struct

from .archives import Entry, archive, changed, entries_of, reread
from .case import Case, of, sound

A = b"\x80\x02}."


def with_entry(entry: Entry):
    return lambda _: archive([*reread(sound()), entry])


def spoiled(which: str, **fields):
    return lambda _: changed(sound(), which, **fields)


def whole(**options):
    return lambda _: archive(reread(sound()), **options)


def many(_place) -> bytes:
    return archive(Entry(f"model/{i}", b"") for i in range(20_000))


def wide_directory(_place) -> bytes:
    """A directory of three megabytes in four records."""
    long = [Entry(f"model/{i}", b"", central_name=f"model/{i}" + "x" * 65_000) for i in range(70)]
    return archive([*long, *reread(sound())])


CASES = [
    Case("deflated record", 3, "compressed", spoiled("data.pkl", method=8)),
    Case("deflated storage", 3, "compressed", spoiled("data/0", method=8)),
    Case("record of an unknown method", 3, "compressed", spoiled("data/0", method=99)),
    Case("encrypted record", 3, "encrypted", spoiled("data/0", flags=0x801)),
    Case("encrypted by the directory alone", 3, "encrypted", spoiled("data/0", central_flags=0x801)),
    Case("doubled record", 3, "two records named", with_entry(Entry("model/data/0", bytes(8)))),
    Case("doubled pickle", 3, "two records named", with_entry(Entry("model/data.pkl", A))),
    Case(
        "second pickle elsewhere", 3, "twice or in the wrong place", with_entry(Entry("model/x/data.pkl", A))
    ),
    Case("two top folders", 3, "top folders", with_entry(Entry("other/data/9", bytes(8)))),
    Case("record above its folder", 3, "unsafe name", with_entry(Entry("model/../../etc/passwd", A))),
    Case("record at the root", 3, "unsafe name", with_entry(Entry("/etc/passwd", A))),
    Case("record with a backslash", 3, "unsafe name", with_entry(Entry("model\\data\\9", A))),
    Case("record with a newline", 3, "unsafe name", with_entry(Entry("model/a\nvampconv: error[0]: b", A))),
    Case("record with an escape", 3, "unsafe name", with_entry(Entry("model/\x1b[2J", A))),
    Case("record named from right to left", 3, "unsafe name", with_entry(Entry("model/\u202etxt.exe", A))),
    Case("record with a null", 3, "unsafe name|not where", with_entry(Entry("model/a\0b", A))),
    Case("record of a long name", 3, "unsafe name", with_entry(Entry("model/" + "x" * 3000, A))),
    Case("folder that holds bytes", 3, "holds bytes", with_entry(Entry("model/folder/", b"abc"))),
    Case("two names of one record", 3, "not where", spoiled("data/1", central_name="model/data/77")),
    Case("record that lies over another", 3, "not where|overlap", spoiled("data/2", offset=0)),
    Case("record beyond the end", 3, "not where", spoiled("data/2", offset=0x7FFFFFFF)),
    Case("record longer than it is", 3, "overlap", spoiled("data/2", central_size=1 << 20)),
    Case("record shorter than it is", 3, "no zip record", spoiled("data/2", central_size=4)),
    Case("record of two sizes", 3, "two different sizes", spoiled("data/2", packed=7)),
    Case("record of four gigabytes", 3, "overlap|damaged", spoiled("data/2", central_size=0xFFFFFFF0)),
    Case("record with a wrong checksum", 3, "CRC-32", spoiled("data/2", crc=1)),
    Case("pickle with a wrong checksum", 3, "CRC-32", spoiled("data.pkl", crc=1)),
    Case(
        "version with a wrong checksum",
        3,
        "CRC-32",
        spoiled("version", crc=1),
        (("convert", "model.pth", "codec.pth", "-o", "out", "--force"),),
    ),
    Case("one record without a checksum", 3, "CRC-32", spoiled("data/2", crc=0)),
    Case("bytes between records", 3, "no zip record", spoiled("data/2", after=b"hidden bytes" * 9)),
    Case("bytes before the directory", 3, "no zip record", whole(before_directory=b"hidden bytes" * 9)),
    Case("bytes before all", 3, "no zip record|not where|known kind", whole(prefix=b"PK\3\4" + bytes(40))),
    Case("comment", 3, "after its directory|comment|damaged", whole(comment=b"hidden " * 50)),
    Case("fewer records than there are", 3, ".", whole(count=3)),
    Case("more records than there are", 3, ".", whole(count=60_000)),
    Case("directory that is cut", 3, ".", whole(directory=(40, None))),
    Case(
        "directory beyond the end",
        3,
        "missing or damaged|no zip|not where",
        whole(directory=(None, 0x7FFFFF00)),
    ),
    Case("directory of negative size", 3, "missing or damaged", whole(directory=(0xFFFFFF00, None))),
    Case("zip64 end that counts a million", 3, ".", whole(zip64={"count": 1 << 20})),
    Case("zip64 end that counts beyond all", 3, ".", whole(zip64={"count": 1 << 63})),
    Case("zip64 directory of an exabyte", 3, "missing or damaged|no zip", whole(zip64={"length": 1 << 60})),
    Case(
        "zip64 directory beyond the end",
        3,
        "missing or damaged|no zip|not where",
        whole(zip64={"start": 1 << 62}),
    ),
    Case("zip64 end elsewhere", 3, ".", whole(zip64={"where": 1 << 40})),
    Case("zip64 end of an absurd size", 3, ".", whole(zip64={"size": (1 << 64) - 1})),
    Case(
        "zip64 extra of a record that lies",
        3,
        ".",
        spoiled(
            "data/2", extra=struct.pack("<HHQQ", 1, 16, 1 << 60, 1 << 60), size=0xFFFFFFFF, packed=0xFFFFFFFF
        ),
    ),
    Case("20000 records", 8, "20000 records|directory", many),
    Case("directory of four megabytes", 8, "directory", wide_directory),
    Case("no records", 3, "without a PyTorch checkpoint|empty", of(archive([]))),
    Case(
        "storage that is missing",
        3,
        "storage 0 of tensor .* is missing",
        lambda _: archive([e for e in reread(sound()) if not e.name.endswith("data/0")]),
    ),
    Case("storage that is too short", 3, "needs .* bytes of storage", spoiled("data/0", data=b"ab")),
    Case("middle endian", 3, "little or big endian", spoiled("byteorder", data=b"middle")),
    Case(
        "zip of checkpoints",
        3,
        "checkpoints in it.*unpack",
        of(archive([Entry("a/coarse.pth", A), Entry("a/c2f.pth", A)])),
    ),
    Case(
        "exported program",
        3,
        "exported PyTorch program",
        of(archive([Entry("a/archive_format", b"pt2"), Entry("a/x", A)])),
    ),
    Case("pickle alone", 3, "no state dict", of(archive(entries_of(A, {})))),
]
