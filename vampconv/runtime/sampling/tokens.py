"""Drawing a token for each row of logits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError
from vampconv.runtime.sampling.filters import filter_logits
from vampconv.runtime.sampling.options import Sampling

AT_ONCE = 1 << 17
"""Logits in work at a time: they stay in the processor's cache."""

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]


def draw(logits: Floats, exponential: Floats | None, options: Sampling) -> tuple[Tokens, Floats]:
    """One token for each row, and its probability.

    The token is the arg-max of ``p/q`` with exponential draws q, which is a draw from the probabilities p; without
    draws it is the most probable one. Of equal ones the first is taken.

    Parameters
    ----------
    logits
        Float32 [batch, rows, vocab]; overwritten.
    exponential
        Float32 [batch, rows, vocab] of exponential draws, or None.
    options
        Temperature and filters.

    Returns
    -------
    tokens
        Int64 [batch, rows].
    probabilities
        Float32 [batch, rows], of these tokens at the temperature and after the filters.

    Raises
    ------
    BadInputError
        If logits are not finite.

    """
    batch, rows, vocab = logits.shape
    flat = logits.reshape(-1, vocab)
    noise = None if exponential is None else exponential.reshape(-1, vocab)
    tokens = np.empty(batch * rows, np.int64)
    probabilities = np.empty(batch * rows, np.float32)
    step = max(1, AT_ONCE // vocab)
    scratch = np.empty((min(step, len(flat)), vocab), np.float32)
    for start in range(0, len(flat), step):
        part = slice(start, start + step)
        block = flat[part]
        if not np.isfinite(block.max(axis=-1)).all():
            raise BadInputError("the model's logits are not finite", "vampconv verify the bundle")
        filter_logits(block, options)
        if noise is None:
            tokens[part] = block.argmax(axis=-1)
        _softmax(block, options.temperature)
        if noise is not None:
            tokens[part] = np.divide(block, noise[part], out=scratch[: len(block)]).argmax(axis=-1)
        probabilities[part] = np.take_along_axis(block, tokens[part, None], axis=-1)[:, 0]
    return tokens.reshape(batch, rows), probabilities.reshape(batch, rows)


def _softmax(block: Floats, temperature: float) -> None:
    """Probabilities at a temperature, in place."""
    if temperature > 0 and temperature != 1:
        block /= np.float32(temperature)
    block -= block.max(axis=-1, keepdims=True)
    np.exp(block, out=block)
    block /= block.sum(axis=-1, keepdims=True)
