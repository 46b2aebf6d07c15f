"""Where all randomness comes from: one object, be it a seed or recorded draws.

Draws are asked for by what they are for, never by the order of the questions, so that chunks may be made in any
order, and again, with the same result.
"""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Part = Literal["coarse", "c2f"]
Purpose = Literal["intensity", "roll", "dropout", "upbeats", "downbeats"]
"""What a draw for a mask is for."""
Draws = NDArray[np.float32]


class GenerationNoise(Protocol):
    """The draws of one run of the sampling loop. They are read, never written to."""

    def exponential(self, step: int, batch: int, rows: int, vocab: int) -> Draws:
        """Exponential(1) draws float32 [batch, rows, vocab], positive and finite, of a step from 0.

        The token of a row is the arg-max of its probabilities divided by these.
        """
        ...

    def gumbel(self, step: int, batch: int, rows: int) -> Draws:
        """Standard Gumbel draws float32 [batch, rows], finite, of a step from 0, for the re-masking."""
        ...


class NoiseSource(Protocol):
    """The draws of a whole vamp."""

    def generation(self, part: Part, feedback: int, chunk: int) -> GenerationNoise:
        """Those of one run of the loop: of a part, a feedback step and a chunk, each counted from 0."""
        ...

    def bernoulli(self, purpose: Purpose, probability: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """Independent booleans that are true with a probability from 0 (never) to 1 (always).

        The shape is [batch, …, time], or of beats instead of time.
        """
        ...

    def integers(self, purpose: Purpose, high: int, count: int) -> NDArray[np.int64]:
        """Int64 [count], each uniform in 0 … high - 1."""
        ...
