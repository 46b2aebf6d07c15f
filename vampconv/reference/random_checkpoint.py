"""Checkpoints of any size with random weights of trained-like scale, in the original's layout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from vampconv.reference.codec_tables import table_name
from vampconv.reference.config import VampNetConfig
from vampconv.reference.loading import is_lora
from vampconv.reference.vampnet import VampNetReference

COARSE = VampNetConfig(n_layers=20, n_codebooks=4, flash_attn=False)
"""The size of the trained coarse model: 335,893,664 parameters in 368 tensors, LoRA pairs included."""

COARSE_TO_FINE = VampNetConfig(n_layers=16, n_codebooks=14, n_conditioning_codebooks=4, flash_attn=False)
"""The size of the trained coarse-to-fine model."""

LAC_KWARGS: Mapping[str, Any] = {
    "encoder_dim": 64,
    "encoder_rates": [2, 4, 8, 12],
    "decoder_dim": 512,
    "decoder_rates": [12, 8, 4, 2],
    "n_codebooks": 14,
    "codebook_size": 1024,
    "codebook_dim": 8,
    "quantizer_dropout": False,
    "sample_rate": 44100,
}
"""Arguments of a 44.1 kHz codec with hop 768."""

_NORMAL = (
    # (end of the name, mean, standard deviation)
    ("special.MASK", 0.0, 1.0),
    ("codebook.weight", 0.0, 1.0),
    ("relative_attention_bias.weight", 0.0, 2.0),
    ("lora_B", 0.0, 0.3),
    ("weight_v", 0.0, 0.5),
    ("beta.bias", 0.0, 0.3),
    ("gamma.bias", 0.0, 0.3),
    ("bias", 0.0, 0.1),
)


def random_state_dict(config: VampNetConfig, seed: int, *, lora: bool = True) -> dict[str, Tensor]:
    """Float32 weights of a VampNet, named and ordered as the original names and orders them.

    Parameters
    ----------
    config
        The architecture.
    seed
        The same seed gives the same weights.
    lora
        Whether every linear that can carry a LoRA pair does.

    """
    with torch.device("meta"):
        shapes = VampNetReference(config, adapted=lora).state_dict()
    generator = torch.Generator().manual_seed(seed)
    return {name: random_tensor(name, shape.shape, generator) for name, shape in shapes.items()}


def random_fine_tune(config: VampNetConfig, seed: int) -> dict[str, Tensor]:
    """LoRA pairs alone: a fine-tune to load over a base of the same architecture."""
    return {name: tensor for name, tensor in random_state_dict(config, seed).items() if is_lora(name)}


def random_codec_tables(n_codebooks: int, size: int, dim: int, seed: int) -> dict[str, Tensor]:
    """The codebooks of a LAC codec, [size, dim] each, and nothing else of it."""
    generator = torch.Generator().manual_seed(seed)
    names = [table_name(i) for i in range(n_codebooks)]
    return {name: random_tensor(name, torch.Size([size, dim]), generator) for name in names}


def checkpoint(state: Mapping[str, Tensor], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """What the original gives to `torch.save`."""
    return {"state_dict": dict(state), "metadata": {"kwargs": dict(kwargs)}}


def random_tensor(name: str, shape: torch.Size, generator: torch.Generator) -> Tensor:
    """A weight of trained-like scale, as its name asks for."""
    tensor = torch.empty(shape)
    for ending, mean, deviation in _NORMAL:
        if name.endswith(ending):
            return tensor.normal_(mean, deviation, generator=generator)
    if name.endswith("weight_g") or len(shape) == 1:
        return tensor.uniform_(0.4, 1.6, generator=generator)
    bound = 1 / math.sqrt(math.prod(shape[1:]))
    return tensor.uniform_(-bound, bound, generator=generator)
