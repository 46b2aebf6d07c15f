"""The sampling loop: masked tokens are drawn, and those of the least confidence masked again, step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from vampconv.noise import Noise
from vampconv.runtime.controls import Controls
from vampconv.runtime.sampling.guidance import guided
from vampconv.runtime.sampling.noise import GenerationNoise
from vampconv.runtime.sampling.options import Sampling
from vampconv.runtime.sampling.remask import remask
from vampconv.runtime.sampling.schedule import noise_level, to_mask
from vampconv.runtime.sampling.tokens import DrawsOfRows, draw
from vampconv.runtime.transformer import Transformer

Codes = NDArray[np.int64]
StepDone = Callable[[int, int], None]
"""Called after each step with the number of steps done and of all."""


def generate(
    model: Transformer,
    codes: Codes,
    mask: NDArray[np.bool_],
    noise: GenerationNoise,
    options: Sampling,
    controls: Controls | None = None,
    on_step: StepDone | None = None,
) -> Codes:
    """Codes with the masked ones made anew; those of the conditioning codebooks stay as they are.

    Codes that are the mask token count as masked. Where nothing is masked the model does not run.

    Parameters
    ----------
    model
        A transformer.
    codes
        Int64 [batch, n_codebooks, time], from 0 to the mask token.
    mask
        Bool [batch, n_codebooks, time]: what to make anew.
    noise
        All draws.
    options
        How to sample.
    controls
        For a model with controls.
    on_step
        Told of each step.

    """
    fixed, steps = model.n_conditioning_codebooks, options.sampling_steps
    shown = np.where(mask, model.mask_token, codes)
    start = int(np.count_nonzero(shown == model.mask_token))
    if start == 0:
        return codes.copy()
    known = _flat(shown[:, fixed:])
    for step in range(steps):
        logits = guided(model, shown, noise_level(step, steps), controls, options.cfg_scale)
        batch, rows, vocab = logits.shape
        draws = _exponential(noise, step, (batch, rows, vocab)) if options.samples(step) else None
        masked = known == model.mask_token
        drawn, probabilities = draw(logits, draws, options, masked, model.threads)
        tokens = np.where(masked, drawn, known)
        if step < steps - 1:
            again = remask(
                masked,
                probabilities,
                noise.gumbel(step, batch, rows),
                np.float32(options.mask_temperature) * (np.float32(1) - noise_level(step, steps)),
                to_mask(step, steps, start, masked.sum(axis=-1)),
            )
            known = np.where(again, model.mask_token, tokens)
            shown = np.concatenate((codes[:, :fixed], _unflat(known, model.n_predict)), axis=1)
        if on_step is not None:
            on_step(step + 1, steps)
    return np.concatenate((codes[:, :fixed], _unflat(tokens, model.n_predict)), axis=1)


def _exponential(
    noise: GenerationNoise, step: int, shape: tuple[int, int, int]
) -> NDArray[np.float32] | DrawsOfRows:
    """The draws of a step; those of a seed are made for the rows that need some, and no others."""
    batch, rows, vocab = shape
    if isinstance(noise, Noise):
        return noise.exponential_rows(step, rows, vocab)
    return noise.exponential(step, batch, rows, vocab)


def _flat(codes: Codes) -> Codes:
    """[batch, n, time] -> [batch, time·n], the codebook fastest."""
    return np.ascontiguousarray(codes.transpose(0, 2, 1)).reshape(len(codes), -1)


def _unflat(tokens: Codes, codebooks: int) -> Codes:
    """[batch, time·n] -> [batch, n, time]."""
    return np.ascontiguousarray(tokens.reshape(len(tokens), -1, codebooks).transpose(0, 2, 1))
