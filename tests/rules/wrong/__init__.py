"""Deliberately wrong variants of the rules, one file per family or two; each must be refuted."""

from . import attention, constants, embedding, film, gated_gelu, linear, relative_bias, rms_norm
from .variant import VARIANTS, Variant

__all__ = [
    "VARIANTS",
    "Variant",
    "attention",
    "constants",
    "embedding",
    "film",
    "gated_gelu",
    "linear",
    "relative_bias",
    "rms_norm",
]
