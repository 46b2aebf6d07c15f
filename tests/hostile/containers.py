"""Files that are cut, changed, or something else, and paths that lead to no file."""

from __future__ import annotations

import gzip
import os
import pickle
import random
import struct
from pathlib import Path

from . import archives
from .case import BOTH, CONVERT, Case, altered, of, sound

LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
PAGE = b"<!DOCTYPE html><html><body>Sign in</body></html>"
LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03." + bytes(900)
ONNX = b"\x08\x08\x12\x07pytorch" + b":\x00" * 90


def script(_place: Path) -> bytes:
    names = ("m/data.pkl", "m/constants.pkl", "m/code/__torch__.py", "m/version")
    return archives.archive([archives.Entry(name, b"\x80\x02).") for name in names])


def fifo(place: Path) -> None:
    (place / "model.pth").unlink()
    os.mkfifo(place / "model.pth")


def link(target: str):
    def make(place: Path) -> None:
        (place / "model.pth").unlink()
        (place / "model.pth").symlink_to(target)

    return make


def directory(place: Path) -> None:
    (place / "model.pth").unlink()
    (place / "model.pth").mkdir()


def unreadable(place: Path) -> None:
    (place / "model.pth").chmod(0)


def sparse(place: Path) -> None:
    """A gigabyte of nothing after the beginning of an archive, which takes no room on the disk."""
    (place / "model.pth").write_bytes(b"PK\3\4")
    os.truncate(place / "model.pth", 1 << 30)


def long_model(_place: Path) -> bytes:
    """A checkpoint of more than 256 KiB."""
    import numpy as np

    return altered({"transformer.layers.0.self_attn.more": np.zeros(70_000, np.float32)})


def cut(at: int):
    return lambda place: long_model(place)[:at]


def flipped(region: str, seed: int):
    """A bit of a region: local headers, the pickle, a storage, the directory, or its end."""

    def make(_place: Path) -> bytes:
        data = bytearray(sound())
        directory_ = data.index(b"PK\1\2")
        end = data.rindex(b"PK\5\6")
        storage = data.index(b"model/data/3")
        first = {
            "magic": (0, 4), "crc": (14, 18), "sizes": (18, 26), "name": (30, 44), "pickle": (60, 3000),
            "storage": (storage + 13, storage + 20), "directory": (directory_, directory_ + 4),
            "directory sizes": (directory_ + 20, directory_ + 28), "offset": (directory_ + 42, directory_ + 46),
            "end": (end + 10, end + 20),
        }[region]  # fmt: skip
        chosen = random.Random(seed)
        data[chosen.randrange(*first)] ^= 1 << chosen.randrange(8)
        return bytes(data)

    return make


CASES = [
    Case("empty", 3, "an empty file; download", of(b"")),
    Case("one byte", 3, "not a checkpoint; give|of any known kind", of(b"\x80")),
    Case("text", 3, "a text file", of(b"hello\n" * 40)),
    Case("web page", 3, "a web page.*download again", of(PAGE)),
    Case("Git LFS pointer", 3, "git lfs pull", of(LFS)),
    Case("zero bytes", 3, "zero bytes", of(bytes(5000))),
    Case("noise", 3, "not a checkpoint of any known kind", of(random.Random(0).randbytes(5000))),
    Case("gzip", 3, "gzip.*unpack", lambda _: gzip.compress(sound())),
    Case("legacy torch.save", 3, "before PyTorch 1.6.*torch.save", of(LEGACY)),
    Case("bare pickle", 3, "a bare pickle", of(pickle.dumps({"w": [1.0]}))),
    Case("TorchScript", 3, "TorchScript", script),
    Case("ONNX model", 3, "an ONNX model", of(ONNX)),
    Case("array of numpy", 3, "a numpy array", of(b"\x93NUMPY\x01\x00" + bytes(100))),
    Case("end of an archive alone", 3, "zip", of(b"PK\5\6" + bytes(18))),
    Case("prefixed byte", 3, "of any known kind|damaged|is", lambda _: b"\0" + sound()),
    Case("prefixed by another archive", 3, "missing or damaged|no zip record", lambda _: sound() + sound()),
    Case("prefixed by a local header", 3, "missing or damaged|no zip record", lambda _: b"PK\3\4" + sound()),
    Case("trailing bytes", 3, "missing or damaged", lambda _: sound() + b"x" * 70_000),
    Case(
        "trailing bytes in a comment's reach",
        3,
        "missing or damaged|no zip record|after",
        lambda _: sound() + b"x" * 99,
    ),
    Case("sparse gigabyte", 3, "missing or damaged", sparse),
    *(
        Case(f"cut at {size >> 10} KiB", 3, "missing or damaged, perhaps cut short", cut(size))
        for size in range(1 << 16, 5 << 16, 1 << 16)
    ),
    Case("cut by a byte", 3, "missing or damaged", lambda _: sound()[:-1]),
    Case("cut after its directory", 3, "missing or damaged", lambda _: sound()[: sound().rindex(b"PK\5\6")]),
    *(
        Case(f"bit of {region} flipped", 3, ".", flipped(region, seed))
        for seed, region in enumerate(
            (
                "magic",
                "crc",
                "sizes",
                "name",
                "pickle",
                "storage",
                "directory",
                "directory sizes",
                "offset",
                "end",
            )
        )
        if region not in ("crc", "sizes")
    ),
    Case("safetensors of half a header", 3, "safetensors", of(archives.safetensors({"a": 1})[:9] + b" ")),
    Case(
        "safetensors that promises a terabyte",
        8,
        "header of",
        of(struct.pack("<Q", 1 << 39) + b'{"a":' + bytes(50)),
    ),
    Case("named pipe", 6, "not a regular file", fifo),
    Case("device without end", 6, "not a regular file", link("/dev/zero")),
    Case("device of nothing", 6, "not a regular file", link("/dev/null")),
    Case("link to itself", 6, "cannot be opened", link("model.pth")),
    Case("link to nothing", 6, "does not exist", link("gone")),
    Case("directory", 3, "holds no checkpoints", directory, (CONVERT,)),
    Case("unreadable file", 6, "may not be read", unreadable),
    *(
        Case(
            f"{told} while it is read, by {BOTH[which][0]}",
            3,
            "changed|ends at|cut short",
            of_sound,
            BOTH[which : which + 1],
            [("pread", n, how, "model.pth")],
        )
        for of_sound in (lambda _: sound(),)
        for told, how in (
            ("cut to nothing", "cut"),
            ("halved", "halve"),
            ("touched", "touch"),
            ("changed at its end", "flip"),
        )
        for which, n in ((0, 2), (1, 9))
    ),
]
