"""Writing audio that comes in pieces."""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import InputOutputError, UsageError
from vampconv.runtime.audio.files import import_soundfile

FORMATS = {
    ".wav": ("WAV", "FLOAT"),
    ".flac": ("FLAC", "PCM_24"),
    ".ogg": ("OGG", "VORBIS"),
}
LARGEST_WAV = (1 << 32) - (1 << 16)
"""Bytes of samples; more go into a file of the format RF64, which players of WAV files know."""
BLOCK = 1 << 14
"""Samples that are encoded at a time; libsndfile's Vorbis encoder has a small stack."""

Audio = NDArray[np.float32]


def check_suffix(path: Path) -> None:
    """Raise an error unless a file's suffix names a format."""
    if path.suffix.lower() not in FORMATS:
        known = ", ".join(FORMATS)
        raise UsageError(f"{path} names no format that can be written", f"give a name that ends in {known}")


class PlainFloats:
    """A file that takes samples as they are; libsndfile would add the time, and no two files were the same."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file

    def write(self, frames: Audio) -> None:
        """Write float32 [samples, channels]."""
        write_all(self.file, np.ascontiguousarray(frames, "<f4").data.cast("B"))

    def finish(self) -> None:
        """Nothing is left to write."""


class WatchedFile:
    """A file that libsndfile writes to, which takes a write that failed for success: errors are kept."""

    def __init__(self, file: io.FileIO) -> None:
        self.file = file
        self.seek, self.tell, self.read = file.seek, file.tell, file.read
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        """Write it all."""
        try:
            write_all(self.file, data)
        except OSError as error:
            self.error = self.error or error
        return len(data)

    def check(self) -> None:
        """Raise what went wrong."""
        if self.error is not None:
            raise self.error


class Encoded:
    """A file that libsndfile encodes.

    It works in a thread of its own: a signal would otherwise raise its exception inside of it, where it is lost.
    """

    def __init__(self, file: io.FileIO, stack: ExitStack, **form: Any) -> None:
        from soundfile import SoundFile

        self.watched = WatchedFile(file)
        self.pool = stack.enter_context(ThreadPoolExecutor(1))
        self.file = self.pool.submit(SoundFile, self.watched, "w", **form).result()
        stack.callback(self._close)

    def write(self, frames: Audio) -> None:
        """Write float32 [samples, channels]."""
        self.pool.submit(self.file.write, frames).result()
        self.watched.check()

    def finish(self) -> None:
        """Write what the encoder still has, and the header anew."""
        self._close()
        self.watched.check()

    def _close(self) -> None:
        self.pool.submit(self.file.close).result()


class SoundWriter:
    """An open file of audio, for pieces float32 [channels, samples]."""

    def __init__(self, file: PlainFloats | Encoded, path: Path) -> None:
        self.file, self.path = file, path

    def add(self, audio: Audio) -> None:
        """Write more."""
        with _explained(self.path):
            for start in range(0, audio.shape[-1], BLOCK):
                self.file.write(np.ascontiguousarray(audio[:, start : start + BLOCK].T))


def write_all(file: io.FileIO, data: bytes | memoryview) -> None:
    """Write bytes to a file that may take some of them only."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


@contextmanager
def sound_writer(
    staged: Path, path: Path, *, sample_rate: int, channels: int, samples: int
) -> Iterator[SoundWriter]:
    """A file of audio of the format that its suffix names: WAV (32-bit float), FLAC (24 bits) or OGG (Vorbis).

    Parameters
    ----------
    staged, path
        Where it is written, and where it will be.
    sample_rate
        In Hz.
    channels, samples
        How many there will be.

    """
    kind, subtype = FORMATS[path.suffix.lower()]
    with ExitStack() as stack:
        with _explained(path):
            content = stack.enter_context(staged.open("w+b", buffering=0))
            if kind == "WAV" and samples * channels * 4 <= LARGEST_WAV:
                write_all(content, wav_header(sample_rate, channels, samples))
                file: PlainFloats | Encoded = PlainFloats(content)
            else:
                import_soundfile(path)
                form = {"format": "RF64" if kind == "WAV" else kind, "subtype": subtype}
                file = Encoded(content, stack, samplerate=sample_rate, channels=channels, **form)
        yield SoundWriter(file, path)
        with _explained(path):
            file.finish()


def wav_header(sample_rate: int, channels: int, samples: int) -> bytes:
    """The beginning of a WAV file of 32-bit floats, whose samples follow."""
    size = min(samples * channels * 4, LARGEST_WAV)
    form = struct.pack("<HHIIHHH", 3, channels, sample_rate, sample_rate * channels * 4, channels * 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, min(samples, (1 << 32) - 1))
    chunks = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + fact + struct.pack("<4sI", b"data", size)
    )
    return struct.pack("<4sI", b"RIFF", len(chunks) + size) + chunks


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn errors of writing into ours; those of libsndfile are of the type RuntimeError."""
    try:
        yield
    except (OSError, RuntimeError, ValueError) as error:
        raise _unwritable(path, error) from error


def _unwritable(path: Path, error: Exception) -> InputOutputError:
    reason = str(getattr(error, "error_string", None) or getattr(error, "strerror", None) or error)
    reason = reason.strip().rstrip(".")
    return InputOutputError(f"{path} cannot be written: {reason}", "choose another place or format")
