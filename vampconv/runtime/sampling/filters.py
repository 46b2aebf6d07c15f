"""Filters of logits: what they remove becomes minus infinity, in place. Logits are float32 [rows, vocab]."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.sampling.options import Sampling

Logits = NDArray[np.float32]
REMOVED = np.float32(-np.inf)


def filter_logits(logits: Logits, options: Sampling) -> None:
    """All filters that the options ask for, in the original's order."""
    if options.typical_filtering:
        keep_typical(logits, options.typical_mass, options.typical_min_tokens)
    if options.top_k is not None:
        keep_top_k(logits, options.top_k)
    if options.top_p is not None and options.top_p < 1:
        keep_top_p(logits, options.top_p)


def keep_top_k(logits: Logits, count: int) -> None:
    """Keep the `count` greatest logits of each row, and those that equal the last of them."""
    vocab = logits.shape[-1]
    if count < vocab:
        least = np.partition(logits, vocab - count, axis=-1)[:, vocab - count, None]
        logits[logits < least] = REMOVED


def keep_top_p(logits: Logits, mass: float) -> None:
    """Keep the most probable tokens of each row until their probabilities sum to more than `mass`.

    The token that passes it is kept. Of equal logits the first ones are.
    """
    descending = np.sort(logits, axis=-1)[:, ::-1]
    probabilities = np.exp(descending - descending[:, :1])
    probabilities /= probabilities.sum(axis=-1, keepdims=True)
    before = _sums(probabilities)[:, :-1]
    kept = 1 + (before <= np.float32(mass)).sum(axis=-1)
    least = np.take_along_axis(descending, kept[:, None] - 1, axis=-1)
    for row in np.flatnonzero((logits >= least).sum(axis=-1) > kept):
        equal = np.flatnonzero(logits[row] == least[row])
        more = int((logits[row] > least[row]).sum())
        logits[row, equal[kept[row] - more :]] = REMOVED
    logits[logits < least] = REMOVED


def keep_typical(logits: Logits, mass: float, least: int) -> None:
    """Keep the tokens of each row whose information is nearest to the entropy (Meister et al., 2022).

    Nearest first, until they have probability `mass` together; the `least` nearest ones in any case.
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    probabilities = np.exp(shifted)
    total = probabilities.sum(axis=-1, keepdims=True)
    probabilities /= total
    information = np.log(total) - shifted
    entropy = np.where(probabilities > 0, information, 0)
    entropy = (entropy * probabilities).sum(axis=-1, keepdims=True)
    distance = np.abs(information - entropy)
    order = np.argsort(distance, axis=-1, kind="stable")
    mass_so_far = _sums(np.take_along_axis(probabilities, order, axis=-1))
    last = np.minimum((mass_so_far < np.float32(mass)).sum(axis=-1), logits.shape[-1] - 1)
    ordered = np.take_along_axis(distance, order, axis=-1)
    removed = ordered > np.take_along_axis(ordered, last[:, None], axis=-1)
    removed[:, :least] = False
    scattered = np.empty_like(removed)
    np.put_along_axis(scattered, order, removed, axis=-1)
    logits[scattered] = REMOVED


def _sums(probabilities: Logits) -> Logits:
    """Cumulative sums of each row: in float64, rounded to float32, as in the original."""
    return np.cumsum(probabilities, axis=-1, dtype=np.float64).astype(np.float32)
