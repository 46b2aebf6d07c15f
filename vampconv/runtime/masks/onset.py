"""All but what lies around onsets."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import UsageError


def onset_steps(audio: NDArray[np.float32], sample_rate: int, hop: int) -> NDArray[np.int64]:
    """Steps at which something begins, int64, ascending: librosa's onset detection, traced back to the minimum.

    Parameters
    ----------
    audio
        Float32 [samples].
    sample_rate
        In Hz; as in the original, steps are of `hop` samples at this rate.
    hop
        Samples of a step.

    Raises
    ------
    UsageError
        If librosa is not installed.

    """
    try:
        import librosa
    except ImportError:
        raise UsageError("onset masks need librosa", "pip install 'vampconv[play]'") from None
    onset: Any = librosa.onset
    found = onset.onset_detect(y=audio, sr=sample_rate, hop_length=hop, backtrack=True)
    return np.asarray(found, np.int64)


def onset_mask(time: int, onsets: NDArray[np.int64], width: int) -> NDArray[np.bool_]:
    """Bool [time]: false in the `width` steps before each onset and the `width` steps from it on."""
    mask = np.ones(time, np.bool_)
    for onset in onsets.tolist():
        mask[max(0, onset - width) : onset + width] = False
    return mask
