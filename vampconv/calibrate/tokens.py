"""Tokens to compare precisions on: of music or drawn at random, masked as the sampling loop masks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.transformer import Transformer

SHARES = (0.9, 0.6, 0.25)
"""Of tokens that are masked: early, midway and late in the loop."""


@dataclass(frozen=True)
class Masked:
    """An input of a transformer.

    Attributes
    ----------
    codes
        Int64 [batch, n_codebooks, time], with the mask token.
    rows
        Which rows of the logits are of masked tokens: bool [batch, time·n_predict].
    share
        Of tokens that are masked, which a FiLM model takes for its noise level.

    """

    codes: NDArray[np.int64]
    rows: NDArray[np.bool_]
    share: np.float32


def masked(model: Transformer, music: NDArray[np.int64] | None, steps: int, seeds: int) -> Iterator[Masked]:
    """Inputs of a model, one for each seed and share.

    Parameters
    ----------
    model
        Tells the sizes.
    music
        Codes [1, n, time] of at least its codebooks; without them codes are drawn evenly.
    steps
        Of each input, at most.
    seeds
        How many.

    """
    for seed in range(seeds):
        random = np.random.default_rng((11, seed))
        codes = random.integers(0, model.vocab_size, (1, model.n_codebooks, steps))
        if music is not None:
            start = int(random.integers(0, max(music.shape[-1] - steps, 0) + 1))
            codes = music[:, : model.n_codebooks, start : start + steps]
        for share in SHARES:
            mask = random.random(codes.shape) < share
            mask[:, : model.n_conditioning_codebooks] = False
            rows = mask[:, model.n_conditioning_codebooks :].transpose(0, 2, 1).reshape(1, -1)
            if rows.any():
                yield Masked(np.where(mask, model.mask_token, codes), rows, np.float32(share))


@dataclass(frozen=True)
class Distance:
    """How far distributions are from those in float32.

    Attributes
    ----------
    divergence
        Mean Kullback-Leibler divergence of masked tokens, in nats.
    agreement
        Share of masked tokens whose most likely code is the same.

    """

    divergence: float
    agreement: float


def log_probabilities(model: Transformer, inputs: Sequence[Masked]) -> list[NDArray[np.float64]]:
    """Of every masked token [tokens, vocab_size], input by input; the model is let go of."""
    found = []
    for one in inputs:
        logits: Any = model(one.codes, one.share, None)[one.rows].astype(np.float64)
        logits -= logits.max(-1, keepdims=True)
        found.append(logits - np.log(np.exp(logits).sum(-1, keepdims=True)))
    model.release()
    return found


def distance(truth: Sequence[NDArray[np.float64]], found: Sequence[NDArray[np.float64]]) -> Distance:
    """Over the tokens of all inputs."""
    p, q = np.concatenate(truth), np.concatenate(found)
    divergence = (np.exp(p) * (p - q)).sum(-1).mean()
    return Distance(float(divergence), float((p.argmax(-1) == q.argmax(-1)).mean()))
