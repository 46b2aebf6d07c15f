"""Audio in files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import wavfile

from vampconv.errors import BadInputError, InputOutputError

Array = np.ndarray[Any, Any]

BLOCK = 1 << 18
"""Samples that are read at a time: a header may promise more than memory holds."""
MOST_CHANNELS = 255
"""Beyond this, channels and samples are surely interchanged."""


def write_wav(path: Path, audio: Array, sample_rate: int) -> None:
    """Write a WAV file of 32-bit floats, which no value is rounded or clipped for.

    Parameters
    ----------
    path
        The file; one that is there is replaced.
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
    _check_content(samples, path)
    content = io.BytesIO()
    try:
        wavfile.write(content, sample_rate, np.ascontiguousarray(samples.T))
        path.write_bytes(content.getbuffer())
    except (OSError, ValueError) as error:  # a ValueError says that it is more than a WAV file can hold
        raise InputOutputError(f"{path} cannot be written: {error}", "choose another place") from error


def read_audio(path: Path) -> tuple[Array, int]:
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
    try:
        import soundfile
    except (ImportError, OSError) as error:  # an OSError says that libsndfile is missing
        raise InputOutputError(f"{path} cannot be read without soundfile", "pip install soundfile") from error
    try:
        path.open("rb").close()
    except OSError as error:
        raise InputOutputError(f"{path} cannot be read: {error.strerror}", "check its path") from error
    blocks: list[Array] = []
    try:
        with soundfile.SoundFile(path) as file:
            while not blocks or len(blocks[-1]):
                blocks.append(file.read(BLOCK, dtype="float32", always_2d=True))
            promised, sample_rate = file.frames, int(file.samplerate)
    except (soundfile.SoundFileError, TypeError, ValueError) as error:
        reason = str(getattr(error, "error_string", error)).strip().rstrip(".")
        raise BadInputError(f"{path} is not audio, or damaged: {reason}", "give another file") from error
    audio = np.ascontiguousarray(np.concatenate(blocks).T)
    _check_content(audio, path)
    if audio.shape[1] < promised:
        raise BadInputError(
            f"{path} ends after {audio.shape[1]} of {promised} samples", "give an undamaged file"
        )
    return audio, sample_rate


def _check_content(audio: Array, path: Path) -> None:
    if not audio.size:
        raise BadInputError(f"{path}: there are no samples", "give audio of at least one sample")
    if not np.isfinite(audio).all():
        count = int(np.count_nonzero(~np.isfinite(audio)))
        raise BadInputError(f"{path}: {count} samples are NaN or infinite", "give finite audio")
