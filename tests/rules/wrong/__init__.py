"""Deliberately wrong variants of the rules, one file per family or two; each must be refuted."""

from . import (
    attention,
    batch_norm,
    constants,
    convolution,
    embedding,
    film,
    gated_gelu,
    int4,
    int8,
    linear,
    ort,
    padding,
    raising,
    relative_bias,
    rms_norm,
    snake,
    vector_quantize,
)
from .variant import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "Variant",
    "attention",
    "batch_norm",
    "constants",
    "convolution",
    "embedding",
    "film",
    "gated_gelu",
    "int4",
    "int8",
    "linear",
    "ort",
    "padding",
    "raising",
    "relative_bias",
    "rms_norm",
    "snake",
    "vector_quantize",
]
