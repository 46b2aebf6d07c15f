"""Codecs and beat trackers of any size with random weights, in the original's layout.

The scales are such that activations stay near 1 whatever the depth: sound in gives codes from all over the
codebooks, and codes give sound that the final tanh hardly bends.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.wavebeat import WaveBeatConfig, WaveBeatReference

SAMPLE_RATE = 22050
WAVEBEAT = WaveBeatConfig(nblocks=8, kernel_size=15, channel_growth=32)
"""The size of the trained beat tracker."""

_GAINS = (
    # (convolutions of a codec, how many times louder than its input one is)
    (r"encoder\.block\.0", 5.0),
    (r"encoder\.block\.\d+\.block\.\d\.block\.3", 0.3),
    (r"decoder\.model\.\d+\..*\.layer\.3", 0.3),
    (r"decoder\.model\.0", 0.9),
    (r"decoder\.model\.\d+", 0.2),
    (r".*\.out_proj", 0.25),
    (r".*", 0.9),
)
_TRANSPOSED = re.compile(r"decoder\.model\.\d+\.block\.1")

_RANGES = (
    # (end of the name in a beat tracker, least, most)
    ("running_var", 0.5, 2.0),
    ("running_mean", -0.3, 0.3),
    ("act1.weight", 0.1, 0.4),
    ("norm1.weight", 0.5, 1.0),
    ("res_norm.weight", 0.5, 1.0),
    ("bias", -0.2, 0.2),
)


def random_codec(config: LACConfig, seed: int) -> dict[str, Tensor]:
    """Float32 weights of a LAC codec; the same seed gives the same weights."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in LACReference(config).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        module, _, kind = name.rpartition(".")
        tensor = torch.empty(shape)
        if kind == "weight_g":
            gain = _gain(module, shapes[f"{module}.weight_v"])
            state[name] = tensor.uniform_(0.6 * gain, 1.4 * gain, generator=generator)
        elif kind == "alpha":
            state[name] = tensor.uniform_(0.3, 2.0, generator=generator)
        else:
            state[name] = tensor.normal_(0.0, 0.05 if kind == "bias" else 1.0, generator=generator)
    return state


def random_wavebeat(config: WaveBeatConfig, seed: int) -> dict[str, Tensor]:
    """Float32 weights of a WaveBeat; the same seed gives the same weights."""
    with torch.device("meta"):
        shapes = {name: tensor.shape for name, tensor in WaveBeatReference(config).state_dict().items()}
    generator = torch.Generator().manual_seed(seed)
    return {name: _uniform(name, shape, generator) for name, shape in shapes.items()}


def lightning_checkpoint(state: Mapping[str, Tensor], config: WaveBeatConfig) -> dict[str, Any]:
    """What Lightning saves of a trained WaveBeat, without its optimiser."""
    rates = {
        "audio_sample_rate": SAMPLE_RATE,
        "target_sample_rate": SAMPLE_RATE / config.stride**config.nblocks,
    }
    hyper = config.to_hyper_parameters() | rates
    return {"state_dict": dict(state), "hyper_parameters": hyper, "epoch": 0, "global_step": 0}


def _gain(module: str, weight_v: torch.Size) -> float:
    if _TRANSPOSED.fullmatch(module):
        channels_in, channels_out, kernel = weight_v
        return math.sqrt(kernel / 2 * channels_out / channels_in)
    return next(gain for pattern, gain in _GAINS if re.fullmatch(pattern, module))


def _uniform(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    if not shape:
        return torch.zeros(shape, dtype=torch.int64)
    for ending, least, most in _RANGES:
        if name.endswith(ending):
            return torch.empty(shape).uniform_(least, most, generator=generator)
    bound = math.sqrt(3 / math.prod(shape[1:]))
    return torch.empty(shape).uniform_(-bound, bound, generator=generator)
