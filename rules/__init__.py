"""The built-in rules, the first plugin of vampconv: one family per file."""

from vampconv.rewrite import Rule

from . import (
    attention,
    classifier,
    codec_embedding,
    control,
    film,
    gated_gelu,
    linear,
    lora,
    relative_bias,
    rms_norm,
    weight_norm,
)

FAMILIES = (
    film,
    relative_bias,
    lora,
    weight_norm,
    codec_embedding,
    control,
    rms_norm,
    attention,
    linear,
    gated_gelu,
    classifier,
)

RULES: tuple[type[Rule], ...] = tuple(rule for family in FAMILIES for rule in family.RULES)
