"""The recorded runs of the original, with their draws."""

from __future__ import annotations

import json
from collections.abc import Mapping

import numpy as np

from tests.common import GOLDEN
from vampconv.runtime.sampling import RecordedGeneration, RecordedNoise

Archive = Mapping[str, np.ndarray]
GENERATIONS = ("coarse_default", "coarse_temp_topp", "coarse_cutoff", "c2f_default")
CHUNK = {"coarse": 18, "c2f": 6}
"""Steps of a chunk in the recorded vamps."""
CHUNK_SECONDS = {"coarse": 0.3, "c2f": 0.1}
FINE_STEPS = 2


def recording(name: str) -> Archive:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


def options(archive: Archive, prefix: str = "") -> dict:
    """Options by our names. The filter of typical tokens, which the original drops, is left out."""
    given = json.loads(str(archive[f"{prefix}options"]))
    return {key.lstrip("_"): value for key, value in given.items() if key != "typical_filtering"}


def steps_of(archive: Archive, kind: str) -> int:
    return sum(1 for key in archive if key.startswith(kind) and key.endswith("/gumbel"))


def generation(archive: Archive, prefix: str, first: int, steps: int) -> RecordedGeneration:
    """The draws of one run of the loop, from ``<prefix><first>/…`` on."""
    names = [f"{prefix}{step}" for step in range(first, first + steps)]
    exponential = [archive[f"{n}/exponential"] for n in names if f"{n}/exponential" in archive]
    return RecordedGeneration(exponential, [archive[f"{n}/gumbel"] for n in names])


def vamp_noise(archive: Archive) -> RecordedNoise:
    """The draws of a recorded vamp: the calls of the coarse chunks one after another, then those of the fine ones."""
    steps, time = options(archive)["sampling_steps"], archive["output"].shape[-1]
    coarse, fine = (-(-time // CHUNK[part]) for part in ("coarse", "c2f"))
    runs = {("coarse", 0, n): generation(archive, "call", n * steps, steps) for n in range(coarse)}
    before = coarse * steps
    runs |= {
        ("c2f", 0, n): generation(archive, "call", before + n * FINE_STEPS, FINE_STEPS) for n in range(fine)
    }
    assert before + fine * FINE_STEPS == steps_of(archive, "call")
    return RecordedNoise(runs)


class GeneratorNoise:
    """Draws of a numpy generator, each from a stream of its own."""

    def __init__(self, *key: int) -> None:
        self.key = key

    def generation(self, part: str, feedback: int, chunk: int) -> GeneratorNoise:
        return GeneratorNoise(*self.key, len(part), feedback, chunk)

    def exponential(self, step: int, batch: int, rows: int, vocab: int) -> np.ndarray:
        drawn = self._random(1, step).standard_exponential((batch, rows, vocab), np.float32)
        return np.maximum(drawn, np.finfo(np.float32).tiny)

    def gumbel(self, step: int, batch: int, rows: int) -> np.ndarray:
        return self._random(2, step).gumbel(size=(batch, rows)).astype(np.float32)

    def bernoulli(self, purpose: str, probability: float, shape: tuple[int, ...]) -> np.ndarray:
        return self._random(3, *purpose.encode()).random(shape) < probability

    def integers(self, purpose: str, high: int, count: int) -> np.ndarray:
        return self._random(4, *purpose.encode()).integers(0, high, count)

    def _random(self, *key: int) -> np.random.Generator:
        return np.random.default_rng((*self.key, *key))
