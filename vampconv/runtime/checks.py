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
    wrong = _first_not_finite(audio)
    if wrong is not None:
        raise BadInputError(
            f"the audio is {audio[wrong]} at row {wrong[0]}, sample {wrong[2]}", "give finite samples"
        )


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


def _first_not_finite(audio: NDArray[Any]) -> tuple[int, ...] | None:
    """Where the first sample is that is not finite."""
    finite = np.isfinite(audio)
    return None if finite.all() else tuple(int(i) for i in np.argwhere(~finite)[0])
