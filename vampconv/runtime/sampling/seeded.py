"""Draws that follow from a seed, the same on every machine and in the loop as ONNX."""

from __future__ import annotations

import math
import secrets
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from vampconv.noise import Noise, Stream
from vampconv.runtime.sampling.noise import GenerationNoise, NoiseSource, Part, Purpose


class BeatStream(IntEnum):
    """What a draw for a mask of beats is for."""

    UPBEATS = 16
    DOWNBEATS = 17


STREAMS: dict[Purpose, IntEnum] = {
    "intensity": Stream.MASK,
    "roll": Stream.ROLL,
    "dropout": Stream.DROPOUT,
    "upbeats": BeatStream.UPBEATS,
    "downbeats": BeatStream.DOWNBEATS,
}
PARTS: dict[Part, int] = {"coarse": 0, "c2f": 1}


class SeededNoise:
    """The draws of a whole vamp from one seed.

    Draws for masks are made step by step in time: longer codes have the mask of shorter ones as their beginning.

    Parameters
    ----------
    seed
        Any integer.

    """

    def __init__(self, seed: int) -> None:
        self.noise = Noise(seed)

    def generation(self, part: Part, feedback: int, chunk: int) -> Noise:
        """As for `NoiseSource`; its ``seed`` makes the same draws in the loop as ONNX."""
        return self.noise.child(PARTS[part], feedback, chunk)

    def bernoulli(self, purpose: Purpose, probability: float, shape: tuple[int, ...]) -> NDArray[np.bool_]:
        """As for `NoiseSource`."""
        batch, *between, time = shape
        count = math.prod(shape[1:])
        drawn = [self.noise.uniform(STREAMS[purpose], count, item=item) for item in range(batch)]
        along_time = np.array(drawn).reshape(batch, time, *between)
        return np.ascontiguousarray(np.moveaxis(along_time, 1, -1) < probability)

    def integers(self, purpose: Purpose, high: int, count: int) -> NDArray[np.int64]:
        """As for `NoiseSource`."""
        return self.noise.integers(STREAMS[purpose], count, 0, high)


def source(noise: NoiseSource | int | None) -> NoiseSource:
    """The source of noise of a seed, or of a seed that no one knows."""
    if noise is None or isinstance(noise, int):
        return SeededNoise(secrets.randbits(62) if noise is None else noise)
    return noise


def generation_source(noise: GenerationNoise | int | None) -> GenerationNoise:
    """The draws of one run from a seed, as the loop as ONNX makes them."""
    if noise is None or isinstance(noise, int):
        return Noise(secrets.randbits(62) if noise is None else noise)
    return noise
