"""The built-in rules, the first plugin of vampconv: one family per file."""

from vampconv.rewrite import Rule

from . import (
    attention,
    batch_norm,
    classifier,
    codec_embedding,
    control,
    convolution,
    film,
    gated_gelu,
    linear,
    lora,
    padding,
    relative_bias,
    rms_norm,
    snake,
    vector_quantize,
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
    padding,
    snake,
    vector_quantize,
    batch_norm,
    convolution,
)

RULES: tuple[type[Rule], ...] = tuple(rule for family in FAMILIES for rule in family.RULES)
