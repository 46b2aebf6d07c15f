"""Audio in files."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from vampconv.errors import BadInputError, InputOutputError
from vampconv.files.outputs import outputs
from vampconv.files.regular import open_regular

Array = np.ndarray[Any, Any]

BLOCK = 1 << 18
"""Samples that are read at a time: a header may promise more than memory holds."""
SLOWEST, FASTEST = 1000, 1_000_000
"""Hz; resampling from anything slower would take memory without end."""
MOST_CHANNELS = 255
"""Beyond this, channels and samples are surely interchanged."""


def write_wav(path: Path | str, audio: Array, sample_rate: int) -> None:
    """Write a WAV file of 32-bit floats, which no value is rounded or clipped for.

    Parameters
    ----------
    path
        The file; one that is there is replaced, once all of it is written.
    audio
        Float [channels, samples] or [samples].
    sample_rate
        Samples per second.

    Raises
    ------
    BadInputError
        If there is nothing to write, or what is not audio.
    InputOutputError
        If the file cannot be written.

    """
    samples = np.atleast_2d(np.asarray(audio, np.float32))
    if samples.ndim != 2 or samples.shape[0] > MOST_CHANNELS or not 0 < sample_rate < 1 << 31:
        raise BadInputError(
            f"audio of shape {list(np.shape(audio))} at {sample_rate} Hz cannot be written to {path}",
            "give [channels, samples] and a positive rate",
        )
    path = Path(path)
    _check_content(samples, path)
    content = io.BytesIO()
    try:
        wavfile.write(content, sample_rate, np.ascontiguousarray(samples.T))
    except ValueError as error:  # it is more than a WAV file can hold
        raise InputOutputError(f"{path} cannot be written: {error}", "write less of it") from error
    with outputs([path], force=True) as files:
        files.write(path, content.getvalue())


def read_audio(path: Path | str) -> tuple[Array, int]:
    """Read a file of any format that libsndfile knows: WAV, FLAC, MP3, Ogg, AIFF and more.

    A WAV or AIFF file that is cut short is read as far as it goes, as players do.

    Returns
    -------
    audio
        Float32 [channels, samples]; integers are scaled to lie between -1 and 1.
    sample_rate
        Samples per second.

    Raises
    ------
    BadInputError
        If the file is not audio, is empty or damaged, or holds NaN or infinity.
    InputOutputError
        If it cannot be read, or the library that reads audio is not there.

    """
    file = AudioFile(Path(path))
    audio = np.concatenate(list(file.blocks()), axis=-1)
    return audio, file.sample_rate


class AudioFile:
    """A file of audio that is read in pieces, as often as wanted; formats and errors are those of `read_audio`.

    Parameters
    ----------
    path
        The file.

    Attributes
    ----------
    sample_rate, channels, samples
        As its header tells.
    format
        Such as ``WAV, PCM_24``.

    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._opened() as file:
            self.sample_rate, self.channels, self.samples = int(file.samplerate), file.channels, file.frames
            self.format = f"{file.format}, {file.subtype}"
        if not SLOWEST <= self.sample_rate <= FASTEST:
            raise BadInputError(
                f"{path} says that its rate is {self.sample_rate} Hz",
                f"give audio of {SLOWEST} to {FASTEST} Hz",
            )

    def blocks(self) -> Iterator[Array]:
        """Float32 [channels, samples], from the beginning of the file to its end."""
        found = 0
        with self._opened() as file:
            while True:
                with _refusing(self.path):
                    block = file.read(BLOCK, dtype="float32", always_2d=True)
                if not len(block):
                    break
                audio = np.ascontiguousarray(block.T)
                _check_content(audio, self.path)
                found += audio.shape[1]
                yield audio
        if not found:
            raise BadInputError(f"{self.path}: there are no samples", "give audio of at least one sample")
        if found < self.samples:
            raise BadInputError(
                f"{self.path} ends after {found} of {self.samples} samples", "give an undamaged file"
            )

    @contextmanager
    def _opened(self) -> Iterator[Any]:
        soundfile = import_soundfile(self.path)
        open_regular(self.path).close()
        with _refusing(self.path):
            file = soundfile.SoundFile(self.path)
        with file:
            yield file


def import_soundfile(path: Path) -> Any:
    """The library that knows formats of audio, for a file that it is to read or write."""
    try:
        import soundfile
    except (ImportError, OSError) as error:  # an OSError says that libsndfile is missing
        raise InputOutputError(f"{path} needs soundfile", "pip install soundfile") from error
    return soundfile


@contextmanager
def _refusing(path: Path) -> Iterator[None]:
    """Turn what the library raises about a file's content into our errors."""
    soundfile = import_soundfile(path)
    try:
        yield
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise BadInputError(f"{path} is not audio, or damaged: {reason}", "give another file") from error


def _check_content(audio: Array, path: Path) -> None:
    if not audio.size:
        raise BadInputError(f"{path}: there are no samples", "give audio of at least one sample")
    if not np.isfinite(audio).all():
        count = int(np.count_nonzero(~np.isfinite(audio)))
        raise BadInputError(f"{path}: {count} samples are NaN or infinite", "give finite audio")
