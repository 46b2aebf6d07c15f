"""A vamp, chunk by chunk: the coarse model in long chunks, then the coarse-to-fine model in short ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.controls import Controls
from vampconv.runtime.sampling.generate import generate
from vampconv.runtime.sampling.noise import NoiseSource, Part
from vampconv.runtime.sampling.options import Sampling
from vampconv.runtime.transformer import Transformer

Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]
FINE = Sampling(sampling_steps=2)
"""How the coarse-to-fine model is sampled, whatever the user asks of the coarse one."""


class Vamped(NamedTuple):
    """What came out of a vamp, or of a stretch of it."""

    codes: Codes
    """Int64 [batch, n_codebooks, time]."""
    masked: Codes
    """The same, with the mask token where codes were made; of coarse ones, what the model saw when it last began."""


class Progress(NamedTuple):
    """How far a vamp has come; numbers are of what is done, or in work for `chunk` and `feedback`, from 1."""

    part: Part
    chunk: int
    feedback: int
    feedback_steps: int
    step: int
    steps: int


@dataclass(frozen=True, kw_only=True)
class Vamping:
    """All that a vamp depends on but the codes and their mask.

    Parameters
    ----------
    coarse, fine
        The models.
    coarse_length, fine_length
        Time of a chunk, in steps of the codes.
    noise
        All draws.
    options
        Of the coarse model.
    feedback_steps
        How often the coarse model vamps what it made.
    controls
        For all time, or None.
    on_progress
        Told of each step.

    """

    coarse: Transformer
    fine: Transformer
    coarse_length: int
    fine_length: int
    noise: NoiseSource
    options: Sampling = field(default_factory=Sampling)
    feedback_steps: int = 1
    controls: Controls | None = None
    on_progress: Callable[[Progress], None] | None = None

    def stream(self, pieces: Iterable[tuple[Codes, Mask]]) -> Iterator[Vamped]:
        """Chunks of the result, each as soon as it is made, from codes and masks [batch, n_codebooks, time]."""
        chunks = rejoin(pieces, self.coarse_length)
        vamped = (self.vamp_coarse(number, *chunk) for number, chunk in enumerate(chunks))
        for number, chunk in enumerate(rejoin(vamped, self.fine_length)):
            yield self.refine(number, *chunk)

    def vamp_coarse(self, number: int, codes: Codes, mask: Mask) -> tuple[Codes, Mask, Codes]:
        """One chunk of the coarse model: codes with its codebooks made anew, the mask, and what it last saw.

        If anything is kept in the chunk, its first and last step are, lest its ends do not join its neighbours'.
        """
        model, count = self.coarse, self.coarse.n_codebooks
        inner = mask[:, :count].copy()
        if not inner.all():
            inner[..., [0, -1]] = False
        controls = self._controls(model, number * self.coarse_length, codes.shape[-1])
        made = shown = codes[:, :count]
        for feedback in range(self.feedback_steps):
            shown = np.where(inner, model.mask_token, made)
            noise = self.noise.generation("coarse", feedback, number)
            told = self._told("coarse", number, feedback)
            made = generate(model, shown, inner, noise, self.options, controls, told)
        return np.concatenate((made, codes[:, count:]), axis=1), mask, shown

    def refine(self, number: int, codes: Codes, mask: Mask, shown: Codes) -> Vamped:
        """One chunk of the coarse-to-fine model.

        A chunk that is short is filled up with zeros, which are masked.
        """
        model, time = self.fine, codes.shape[-1]
        missing = [(0, 0), (0, 0), (0, self.fine_length - time)]
        whole, inner = np.pad(codes, missing), np.pad(mask, missing, constant_values=True)
        inner[:, : model.n_conditioning_codebooks] = False
        controls = self._controls(model, number * self.fine_length, self.fine_length)
        noise = self.noise.generation("c2f", 0, number)
        made = generate(model, whole, inner, noise, FINE, controls, self._told("c2f", number, 0))[..., :time]
        count = self.coarse.n_codebooks
        new = np.where(inner[..., :time], model.mask_token, made)[:, count:]
        return Vamped(made, np.concatenate((shown[:, :count], new), axis=1))

    def _controls(self, model: Transformer, start: int, length: int) -> Controls | None:
        controls = self.controls if model.ctrl_dims else None
        return controls and controls.part(start, start + length)

    def _told(self, part: Part, chunk: int, feedback: int) -> Callable[[int, int], None] | None:
        tell, feedbacks = self.on_progress, self.feedback_steps if part == "coarse" else 1
        if tell is None:
            return None
        return lambda step, steps: tell(Progress(part, chunk + 1, feedback + 1, feedbacks, step, steps))


def rejoin(pieces: Iterable[tuple[NDArray[Any], ...]], length: int) -> Iterator[tuple[NDArray[Any], ...]]:
    """The same arrays, cut along the last axis into pieces of one length; the last may be shorter."""
    waiting: tuple[NDArray[Any], ...] | None = None
    for piece in pieces:
        joined = piece if waiting is None else tuple(map(_join, waiting, piece))
        whole = joined[0].shape[-1] // length * length
        for start in range(0, whole, length):
            yield tuple(array[..., start : start + length] for array in joined)
        waiting = tuple(array[..., whole:] for array in joined)
    if waiting is not None and waiting[0].shape[-1]:
        yield waiting


def _join(first: NDArray[Any], second: NDArray[Any]) -> NDArray[Any]:
    return np.concatenate((first, second), axis=-1)
