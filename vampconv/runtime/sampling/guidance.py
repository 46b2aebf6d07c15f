"""Classifier-free guidance by controls."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.controls import Controls
from vampconv.runtime.transformer import Transformer


def guided(
    model: Transformer,
    codes: NDArray[np.int64],
    noise_level: np.float32,
    controls: Controls | None,
    scale: float,
) -> NDArray[np.float32]:
    """Logits ``u + scale·(c - u)``, of the model with its controls (c) and with their masks at zero (u).

    A scale of 1 is the model with its controls, a scale of 0 or no controls the model without: then it runs
    once. Float32 [batch, rows, vocab], the caller's own.
    """
    if controls is None or scale == 0:
        return model(codes, noise_level, None)
    conditional = model(codes, noise_level, controls)
    if scale != 1:
        unconditional = model(codes, noise_level, None)
        conditional -= unconditional
        conditional *= np.float32(scale)
        conditional += unconditional
    return conditional
