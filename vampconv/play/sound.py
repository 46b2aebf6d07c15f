"""Writing audio that comes in pieces."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

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


@dataclass(frozen=True)
class PlainFloats:
    """A file that takes samples as they are; libsndfile would add the time, and no two files were the same."""

    file: IO[bytes]

    def write(self, frames: Audio) -> None:
        """Write float32 [samples, channels]."""
        self.file.write(np.ascontiguousarray(frames, "<f4").tobytes())


class SoundWriter:
    """An open file of audio, for pieces float32 [channels, samples]."""

    def __init__(self, file: Any, path: Path, error: type[Exception]) -> None:
        self.file, self.path, self.error = file, path, error

    def add(self, audio: Audio) -> None:
        """Write more."""
        try:
            for start in range(0, audio.shape[-1], BLOCK):
                self.file.write(np.ascontiguousarray(audio[:, start : start + BLOCK].T))
        except (self.error, OSError) as error:
            raise _unwritable(self.path, error) from error


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
    if kind == "WAV" and samples * channels * 4 <= LARGEST_WAV:
        try:
            content = staged.open("wb")
        except OSError as error:
            raise _unwritable(path, error) from error
        with content:
            content.write(wav_header(sample_rate, channels, samples))
            yield SoundWriter(PlainFloats(content), path, OSError)
        return
    soundfile = import_soundfile(path)
    if kind == "WAV":
        kind = "RF64"
    try:
        file = soundfile.SoundFile(staged, "w", sample_rate, channels, subtype, format=kind)
    except (soundfile.SoundFileError, ValueError, OSError) as error:
        raise _unwritable(path, error) from error
    writer = SoundWriter(file, path, soundfile.SoundFileError)
    with file:
        yield writer


def wav_header(sample_rate: int, channels: int, samples: int) -> bytes:
    """The beginning of a WAV file of 32-bit floats, whose samples follow."""
    size = min(samples * channels * 4, LARGEST_WAV)
    form = struct.pack("<HHIIHHH", 3, channels, sample_rate, sample_rate * channels * 4, channels * 4, 32, 0)
    fact = struct.pack("<4sII", b"fact", 4, min(samples, (1 << 32) - 1))
    chunks = (
        b"WAVE" + b"fmt " + struct.pack("<I", len(form)) + form + fact + struct.pack("<4sI", b"data", size)
    )
    return struct.pack("<4sI", b"RIFF", len(chunks) + size) + chunks


def _unwritable(path: Path, error: Exception) -> InputOutputError:
    reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
    return InputOutputError(f"{path} cannot be written: {reason}", "choose another place or format")
