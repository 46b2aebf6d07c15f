"""Audio, tokens and masks for ``vamp`` that are none."""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from functools import cache
from pathlib import Path

import numpy as np
import soundfile

from .case import Case
from .code import PAYLOADS
from .pickles import program

VAMP = (("vamp", "in.wav", "-o", "made.wav", "--bundle", "bundle", "--threads", "1"),)
TOKENS = (("vamp", "--from-tokens", "t.npz", "-o", "made.wav", "--bundle", "bundle", "--threads", "1"),)
MASK = (("vamp", "in.wav", "-o", "made.wav", "--bundle", "bundle", "--threads", "1", "--mask", "t.npz"),)


def sound_of(samples, rate: int = 44100, subtype: str = "FLOAT", kind: str = "WAV") -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, subtype, format=kind)
    return content.getvalue()


def quiet(seconds: float = 0.05) -> bytes:
    return sound_of(np.random.default_rng(0).normal(0, 0.1, int(44100 * seconds)))


def heard(make):
    def write(place: Path) -> None:
        content = make() if callable(make) else make
        (place / "in.wav").write_bytes(content)

    return write


def tokens(make):
    def write(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / "t.npz").write_bytes(make() if callable(make) else make)

    return write


def link(name: str, target: str):
    def write(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / name).unlink(missing_ok=True)
        (place / name).symlink_to(target)

    return write


def pipe(name: str):
    def write(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / name).unlink(missing_ok=True)
        os.mkfifo(place / name)

    return write


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode("latin-1") + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def npz(content: bytes, name: str = "codes.npy", method: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as file:
        file.writestr(name, content)
    return out.getvalue()


@cache
def bomb(shape: str = "(14, 80000000)", pieces: int = 150) -> bytes:
    """Less than a megabyte that unfolds to 150 MB of zeros, and says that it is more."""
    squeezed = zlib.compressobj(1, zlib.DEFLATED, -15)
    header = npy(f"{{'descr': '<i8', 'fortran_order': False, 'shape': {shape}, }}")
    body, crc, size = squeezed.compress(header), zlib.crc32(header), len(header)
    zeros = bytes(1 << 20)
    for _ in range(pieces):
        body += squeezed.compress(zeros)
        crc, size = zlib.crc32(zeros, crc), size + len(zeros)
    body += squeezed.flush()
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 33, crc, len(body), size, 9, 0) + b"codes.npy"
    central = (
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, 8, 0, 33, crc, len(body), size, 9, 0, 0, 0, 0, 0, 0)
        + b"codes.npy"
    )
    return (
        local
        + body
        + central
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(central), len(local) + len(body), 0)
    )


def saved(array) -> bytes:
    out = io.BytesIO()
    np.savez(out, codes=array)
    return out.getvalue()


def rated(rate: int) -> bytes:
    """A WAV file whose header tells another rate."""
    data = bytearray(quiet())
    data[24:28] = struct.pack("<I", rate)
    return bytes(data)


def objects() -> bytes:
    """An array of objects, whose pickle would run something."""
    return npz(
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", program(PAYLOADS["os.system"]))
    )


CASES = [
    Case("no audio", 3, "is not audio", heard(b"la la la"), VAMP),
    Case("an empty file", 3, "is not audio", heard(b""), VAMP),
    Case("audio without samples", 3, "no samples", heard(lambda: sound_of(np.empty(0))), VAMP),
    Case(
        "audio of NaN",
        3,
        "1 samples are NaN or infinite",
        heard(lambda: sound_of(np.array([0, np.nan, 0.1]))),
        VAMP,
    ),
    Case(
        "audio of infinities",
        3,
        "2 samples are NaN or infinite",
        heard(lambda: sound_of(np.array([np.inf, -np.inf, 0.1]))),
        VAMP,
    ),
    Case("a header alone", 3, "is not audio|no samples", heard(lambda: quiet()[:20]), VAMP),
    Case(
        "half of a FLAC file",
        3,
        "audio|ends after",
        heard(
            lambda: sound_of(
                np.random.default_rng(0).uniform(-0.5, 0.5, 9000), subtype="PCM_16", kind="FLAC"
            )[:300]
        ),
        VAMP,
    ),
    Case("a pickle for audio", 3, "is not audio", heard(program(PAYLOADS["os.system"])), VAMP),
    Case(
        "a checkpoint for audio",
        3,
        "is not audio",
        lambda p: (p / "in.wav").write_bytes((p / "codec.pth").read_bytes()),
        VAMP,
    ),
    Case("a rate of 0 Hz", 3, "rate|is not audio", heard(lambda: rated(0)), VAMP),
    Case("a rate of 4 GHz", 3, "rate|is not audio", heard(lambda: rated(0xFFFFFFFF)), VAMP),
    Case("a rate of 1 Hz", 3, "rate|Hz", heard(lambda: rated(1)), VAMP),
    Case("audio in a named pipe", 6, "not a regular file", pipe("in.wav"), VAMP),
    Case("audio of a device", 6, "not a regular file", link("in.wav", "/dev/zero"), VAMP),
    Case("audio that is missing", 6, "cannot be read|does not exist", link("in.wav", "gone"), VAMP),
    Case("audio in a directory", 6, "directory|regular", lambda p: (p / "in.wav").mkdir(), VAMP),
    Case(
        "tokens that are a payload",
        3,
        "not an array of numpy",
        tokens(lambda: program(PAYLOADS["os.system"])),
        TOKENS,
    ),
    Case("tokens that are objects", 3, "not an array of numpy", tokens(objects), TOKENS),
    Case("a mask of objects", 3, "not an array of numpy", tokens(objects), MASK),
    Case("tokens that are no archive", 3, "not an array of numpy", tokens(b"PK\3\4 nothing"), TOKENS),
    Case("tokens that are text", 3, "not an array of numpy", tokens(b"1 2 3"), TOKENS),
    Case("tokens of floats", 3, "are no tokens", tokens(lambda: saved(np.zeros((14, 5)))), TOKENS),
    Case(
        "tokens beyond the vocabulary",
        3,
        "there is a code 99",
        tokens(lambda: saved(np.full((14, 5), 99))),
        TOKENS,
    ),
    Case(
        "tokens of 2^63",
        3,
        "there is a code",
        tokens(lambda: saved(np.full((14, 5), 2**63, np.uint64))),
        TOKENS,
    ),
    Case("tokens of no time", 3, "are no tokens", tokens(lambda: saved(np.zeros((14, 0), int))), TOKENS),
    Case(
        "tokens in several arrays",
        3,
        "holds",
        tokens(
            lambda: (lambda out: (np.savez(out, a=np.ones(1), b=np.ones(1)), out.getvalue())[1])(io.BytesIO())
        ),
        TOKENS,
    ),
    Case("tokens that are a bomb", 8, "unfold|bytes", tokens(bomb), TOKENS),
    Case("a mask that is a bomb", 8, "unfold|bytes", tokens(bomb), MASK),
    Case(
        "tokens that promise a terabyte",
        3,
        "not an array of numpy|bytes",
        tokens(lambda: npz(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (14, 10000000000), }"))),
        TOKENS,
    ),
    Case(
        "tokens that promise 2^90 elements",
        3,
        "not an array of numpy|bytes",
        tokens(
            lambda: npz(
                npy("{'descr': '<i8', 'fortran_order': False, 'shape': (1208925819614629174706176, 1024), }")
            )
        ),
        TOKENS,
    ),
    Case(
        "tokens of a negative shape",
        3,
        "not an array of numpy",
        tokens(lambda: npz(npy("{'descr': '<i8', 'fortran_order': False, 'shape': (-14, -5), }"))),
        TOKENS,
    ),
    Case(
        "tokens whose header is a program",
        3,
        "not an array of numpy",
        tokens(lambda: npz(npy("__import__('os').system('touch canary')"))),
        TOKENS,
    ),
    Case(
        "tokens whose header nests",
        3,
        "not an array of numpy",
        tokens(lambda: npz(npy("(" * 5000 + ")" * 5000))),
        TOKENS,
    ),
    Case(
        "tokens whose type nests",
        3,
        "not an array of numpy",
        tokens(
            lambda: npz(
                npy(
                    "{'descr': "
                    + "[('a', " * 60
                    + "'<i8'"
                    + ")]" * 60
                    + ", 'fortran_order': False, 'shape': (1,), }"
                )
            )
        ),
        TOKENS,
    ),
    Case(
        "tokens in a plain array that promises a terabyte",
        3,
        "not an array of numpy|bytes",
        tokens(lambda: npy("{'descr': '<i8', 'fortran_order': False, 'shape': (14, 10000000000), }")),
        TOKENS,
    ),
    Case("tokens in a named pipe", 6, "not a regular file", pipe("t.npz"), TOKENS),
    Case("tokens of a device", 6, "not a regular file", link("t.npz", "/dev/zero"), TOKENS),
    Case("a mask of a device", 6, "not a regular file", link("t.npz", "/dev/zero"), MASK),
]
