"""Drawing a token for each row of logits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError
from vampconv.runtime.sampling.filters import filter_logits
from vampconv.runtime.sampling.options import Sampling

AT_ONCE = 1 << 17
"""Logits in work at a time: they stay in the processor's cache."""

Floats = NDArray[np.float32]
Tokens = NDArray[np.int64]
DrawsOfRows = Callable[[Tokens], Floats]


def draw(
    logits: Floats,
    exponential: Floats | DrawsOfRows | None,
    options: Sampling,
    masked: NDArray[np.bool_] | None = None,
    workers: int = 1,
) -> tuple[Tokens, Floats]:
    """One token for each row, and its probability.

    The token is the arg-max of ``p/q`` with exponential draws q, which is a draw from the probabilities p; without
    draws it is the most probable one. Of equal ones the first is taken.

    Parameters
    ----------
    logits
        Float32 [batch, rows, vocab].
    exponential
        Float32 [batch, rows, vocab] of exponential draws, or a function of the numbers of rows, int64 [n] from 0 to
        batch·rows − 1, to float32 [n, vocab]; or None.
    options
        Temperature and filters.
    masked
        Bool [batch, rows]: those to draw for; by default all. Other rows are not looked at.
    workers
        Threads.

    Returns
    -------
    tokens
        Int64 [batch, rows]; 0 in rows that were not drawn for.
    probabilities
        Float32 [batch, rows], of these tokens at the temperature and after the filters; 0 in the same rows.

    Raises
    ------
    BadInputError
        If logits are not finite.

    """
    batch, rows, vocab = logits.shape
    flat = logits.reshape(-1, vocab)
    tokens = np.zeros(batch * rows, np.int64)
    probabilities = np.zeros(batch * rows, np.float32)
    noise = _by_row(exponential)
    chosen = np.arange(batch * rows) if masked is None else np.flatnonzero(masked)
    step = max(1, AT_ONCE // vocab)
    parts = [chosen[start : start + step] for start in range(0, len(chosen), step)]

    def one(part: Tokens) -> None:
        tokens[part], probabilities[part] = _draw(flat[part], noise(part) if noise else None, options)

    if workers == 1 or len(parts) == 1:
        for part in parts:
            one(part)
    else:
        with ThreadPoolExecutor(workers) as pool:
            list(pool.map(one, parts))
    return tokens.reshape(batch, rows), probabilities.reshape(batch, rows)


def _by_row(exponential: Floats | DrawsOfRows | None) -> DrawsOfRows | None:
    """Draws as a function of the numbers of rows."""
    if isinstance(exponential, np.ndarray):
        return exponential.reshape(-1, exponential.shape[-1]).__getitem__
    return exponential


def _draw(block: Floats, noise: Floats | None, options: Sampling) -> tuple[Tokens, Floats]:
    """Tokens and probabilities of logits float32 [rows, vocab], which are overwritten."""
    if not np.isfinite(block.max(axis=-1)).all():
        raise BadInputError("the model's logits are not finite", "vampconv verify the bundle")
    filter_logits(block, options)
    if noise is None:
        tokens = block.argmax(axis=-1)
        _softmax(block, options.temperature)
    else:
        _softmax(block, options.temperature)
        tokens = np.divide(block, noise).argmax(axis=-1)
    return tokens, np.take_along_axis(block, tokens[:, None], axis=-1)[:, 0]


def _softmax(block: Floats, temperature: float) -> None:
    """Probabilities at a temperature, in place."""
    if temperature > 0 and temperature != 1:
        block /= np.float32(temperature)
    block -= block.max(axis=-1, keepdims=True)
    np.exp(block, out=block)
    block /= block.sum(axis=-1, keepdims=True)
