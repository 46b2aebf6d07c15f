"""Refuses arrays that a model would not understand, each with what is wrong and how to mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError


def check_audio(audio: NDArray[Any], least: int = 1) -> None:
    """Audio must be finite float32 [batch, 1, samples], with `least` samples or more."""
    _check_array(audio, "audio", "float32 [batch, 1, samples]", np.float32)
    if audio.shape[1] != 1:
        raise BadInputError(f"the audio has {audio.shape[1]} channels", "mix it to mono")
    if audio.shape[2] < least:
        raise BadInputError(
            f"the audio has {audio.shape[2]} samples, and the model needs {least}", "append zeros"
        )
    _check_finite(audio)


def check_channels(audio: NDArray[Any]) -> None:
    """Audio must be finite float32 [batch, channels, samples], not empty."""
    _check_array(audio, "audio", "float32 [batch, channels, samples]", np.float32)
    _check_finite(audio)


def check_recording(audio: NDArray[Any]) -> None:
    """A recording must be finite float32 [1, channels, samples], not empty."""
    wanted = "float32 [1, channels, samples]"
    _check_array(audio, "audio", wanted, np.float32)
    if len(audio) != 1:
        raise BadInputError(f"the audio is {len(audio)} recordings, and one is taken", f"give {wanted}")
    _check_finite(audio)


def check_samples(audio: NDArray[Any]) -> None:
    """Samples must be finite float32 [..., samples], not empty."""
    good = isinstance(audio, np.ndarray) and audio.dtype == np.float32
    if not good or audio.ndim == 0 or audio.size == 0:
        raise BadInputError(
            f"audio: {_describe(audio)} cannot be taken", "give float32 [..., samples], not empty"
        )
    _check_finite(audio)


def check_rate(rate: object) -> int:
    """A sample rate in Hz must be a positive integer."""
    if isinstance(rate, bool) or not isinstance(rate, int | np.integer) or rate < 1:
        raise BadInputError(f"the sample rate is {rate!r}", "give a positive integer, in Hz")
    return int(rate)


def check_codes(codes: NDArray[Any], codebooks: int, vocab: int) -> None:
    """Codes must be int64 [batch, n, time] of the first n codebooks, from 0 to `vocab`, the mask token."""
    _check_array(codes, "codes", "int64 [batch, n_codebooks, time]", np.int64)
    if codes.shape[1] > codebooks:
        raise BadInputError(
            f"the codes are of {codes.shape[1]} codebooks, and the codec has {codebooks}",
            "give those of this codec",
        )
    low, high = int(codes.min()), int(codes.max())
    if low < 0 or high > vocab:
        raise BadInputError(
            f"there is a code {low if low < 0 else high}",
            f"codes are from 0 to {vocab - 1}, {vocab} is the mask",
        )


def check_mask(mask: NDArray[Any], shape: tuple[int, ...]) -> None:
    """A mask must be of zeros and ones, [batch, n_codebooks, time] as `shape` or [batch, time]; batch may be 1."""
    wanted = f"zeros and ones of {list(shape)} or {[shape[0], shape[2]]}"
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "biu" or mask.ndim not in (2, 3):
        raise BadInputError(f"mask: {_describe(mask)} cannot be taken", f"give {wanted}")
    if mask.shape[1:] not in (shape[1:], shape[2:]) or mask.shape[0] not in (1, shape[0]):
        raise BadInputError(
            f"the mask is {list(mask.shape)}, and the codes are {list(shape)}", f"give {wanted}"
        )
    if mask.dtype.kind != "b" and not np.isin(mask, (0, 1)).all():
        raise BadInputError(f"the mask holds {mask[~np.isin(mask, (0, 1))][0]}", f"give {wanted}")


def check_activations(activations: NDArray[Any]) -> None:
    """Activations must be finite float32 [2, frames]."""
    good = isinstance(activations, np.ndarray) and activations.dtype == np.float32
    if not good or activations.ndim != 2 or len(activations) != 2:
        raise BadInputError(f"the activations are {_describe(activations)}", "give float32 [2, frames]")
    if not np.isfinite(activations).all():
        raise BadInputError("the activations are not all finite", "give the output of wavebeat.onnx")


def _check_array(array: NDArray[Any], name: str, wanted: str, dtype: type[np.generic]) -> None:
    if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 3 or array.size == 0:
        raise BadInputError(f"{name}: {_describe(array)} cannot be taken", f"give {wanted}, not empty")


def _describe(value: object) -> str:
    return f"{value.dtype} {list(value.shape)}" if isinstance(value, np.ndarray) else type(value).__name__


def _check_finite(audio: NDArray[Any]) -> None:
    finite = np.isfinite(audio)
    if not finite.all():
        first = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise BadInputError(f"the audio is {audio[first]} at {list(first)}", "give finite samples")
