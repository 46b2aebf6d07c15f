"""Draws that were made before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError
from vampconv.runtime.sampling.noise import Draws, GenerationNoise, Part, Purpose


class RecordedGeneration:
    """Draws of one run of the sampling loop.

    Parameters
    ----------
    exponential
        Of each step, float32 [batch, rows, vocab]. Steps that take the most probable tokens need none.
    gumbel
        Of each step, float32 [batch, rows]. The last step needs none.

    """

    def __init__(self, exponential: Sequence[Draws], gumbel: Sequence[Draws]) -> None:
        self._exponential, self._gumbel = exponential, gumbel

    def exponential(self, step: int, batch: int, rows: int, vocab: int) -> Draws:
        """As for `GenerationNoise`."""
        return _of_step("exponential", self._exponential, step, (batch, rows, vocab))

    def gumbel(self, step: int, batch: int, rows: int) -> Draws:
        """As for `GenerationNoise`."""
        return _of_step("Gumbel", self._gumbel, step, (batch, rows))


class RecordedNoise:
    """Draws of a whole vamp.

    Parameters
    ----------
    generations
        Those of each run of the loop, by part, feedback step and chunk.
    masks
        For masks, by purpose: zeros and ones of Bernoulli draws, or int64 [count].

    """

    def __init__(
        self,
        generations: Mapping[tuple[Part, int, int], GenerationNoise] | None = None,
        masks: Mapping[Purpose, NDArray[Any]] | None = None,
    ) -> None:
        self._generations, self._masks = generations or {}, masks or {}

    def generation(self, part: Part, feedback: int, chunk: int) -> GenerationNoise:
        """As for `NoiseSource`."""
        found = self._generations.get((part, feedback, chunk))
        if found is None:
            raise _missing(f"of chunk {chunk} of {part} in feedback step {feedback}")
        return found

    def bernoulli(self, purpose: Purpose, probability: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """As for `NoiseSource`; the probability is not looked at."""
        del probability
        return self._mask(purpose, shape).astype(np.bool_)

    def integers(self, purpose: Purpose, high: int, count: int) -> NDArray[np.int64]:
        """As for `NoiseSource`."""
        found = self._mask(purpose, (count,)).astype(np.int64)
        if found.size and not 0 <= found.min() <= found.max() < high:
            raise BadInputError(
                f"a recorded draw of {purpose} is not from 0 to {high - 1}", "record them again"
            )
        return found

    def _mask(self, purpose: Purpose, shape: tuple[int, ...]) -> NDArray[Any]:
        if purpose not in self._masks:
            raise _missing(f"of {purpose}")
        return _fitting(purpose, self._masks[purpose], shape)


def _of_step(name: str, draws: Sequence[Draws], step: int, shape: tuple[int, ...]) -> Draws:
    if step >= len(draws):
        raise _missing(f"({name}) of step {step}")
    return _fitting(name, draws[step], shape)


def _fitting(name: str, draws: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    if draws.shape != shape:
        raise BadInputError(
            f"recorded draws ({name}) are {list(draws.shape)}, and {list(shape)} are needed",
            "give those of the same codes and options",
        )
    return draws


def _missing(what: str) -> BadInputError:
    return BadInputError(f"there are no recorded draws {what}", "give those of the same codes and options")
