"""Inputs of the models, at random."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
LOUDNESS = 0.2
"""Standard deviation of noise that stands for audio."""


def frames_in(seconds: float, sample_rate: int, hop: int) -> int:
    """Steps of the codes in so much audio, rounded up; at least one."""
    return max(1, math.ceil(seconds * sample_rate / hop))


def inputs(part: str, sizes: Mapping[str, Any], frames: int) -> dict[str, Array]:
    """What a part's graph takes, by name, of batch 1.

    Parameters
    ----------
    part
        Of a bundle.
    sizes
        Its architecture, as the manifest has it.
    frames
        Steps of the codes; of the beat tracker samples.

    """
    random = np.random.default_rng(0)
    if part in ("encoder", "wavebeat"):
        noise = random.standard_normal((1, 1, frames * sizes.get("hop", 1)), np.float32)
        return {"audio": np.float32(LOUDNESS) * noise}
    rows = sizes["codebook_size" if part == "decoder" else "vocab_size"]
    made: dict[str, Array] = {"codes": random.integers(0, rows, (1, sizes["n_codebooks"], frames))}
    if sizes.get("r_cond_dim"):
        made["r"] = np.full(1, 0.5, np.float32)
    controls = sizes.get("ctrl_dims", {})
    made |= {f"ctrl.{n}": random.standard_normal((1, d, frames), np.float32) for n, d in controls.items()}
    made |= {f"ctrl_mask.{name}": np.ones((1, frames), np.float32) for name in controls}
    return made
