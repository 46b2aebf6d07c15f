"""The iterative sampling loop: schedule, filters, draws, re-masking and guidance, and where the draws come from."""

from vampconv.runtime.sampling.generate import generate
from vampconv.runtime.sampling.noise import GenerationNoise, NoiseSource
from vampconv.runtime.sampling.options import Sampling
from vampconv.runtime.sampling.recorded import RecordedGeneration, RecordedNoise
from vampconv.runtime.sampling.seeded import SeededNoise

__all__ = [
    "GenerationNoise",
    "NoiseSource",
    "RecordedGeneration",
    "RecordedNoise",
    "Sampling",
    "SeededNoise",
    "generate",
]
