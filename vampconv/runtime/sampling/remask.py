"""Which tokens to mask again: those of the least confidence."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Booleans = NDArray[np.bool_]


def remask(
    masked: Booleans,
    probabilities: Floats,
    gumbel: Floats,
    temperature: np.float32,
    counts: NDArray[np.int64],
) -> Booleans:
    """Tokens to mask again, [batch, rows]: those whose confidence is under that of the row's `counts`-th one.

    Confidence is ``log p + temperature·gumbel``, and infinite for tokens that are not masked.

    Parameters
    ----------
    masked
        [batch, rows]: tokens that were drawn in this step.
    probabilities
        Float32 [batch, rows], of the drawn tokens.
    gumbel
        Float32 [batch, rows] of Gumbel draws.
    temperature
        Scales the draws.
    counts
        Int64 [batch]: how many to mask again, if no confidences are equal; from 0.

    """
    with np.errstate(divide="ignore"):
        confidence = np.log(probabilities)
    confidence += temperature * gumbel
    confidence[~masked] = np.inf
    return confidence < _cut_off(confidence, counts)


def _cut_off(confidence: Floats, counts: NDArray[np.int64]) -> Floats:
    """Element ``counts`` (from 0) of each row in order, float32 [batch, 1]; infinity beyond the row's end."""
    rows = confidence.shape[-1]
    found = [
        np.partition(row, count)[count] if count < rows else np.float32(np.inf)
        for row, count in zip(confidence, counts, strict=True)
    ]
    return np.array(found, np.float32)[:, None]
