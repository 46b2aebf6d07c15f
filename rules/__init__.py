"""The built-in rules, the first plugin of vampconv: one family per file."""

from vampconv.rewrite import Rule

from . import (
    attention,
    batch_norm,
    classifier,
    codec_embedding,
    control,
    convolution,
    decode_codes,
    film,
    fp16,
    gated_gelu,
    int4,
    int8,
    linear,
    lora,
    nearest_code,
    ort_attention,
    ort_gelu,
    padding,
    relative_bias,
    requantize,
    rms_norm,
    snake,
    tanh_gelu,
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
    tanh_gelu,
    gated_gelu,
    classifier,
    ort_attention,
    ort_gelu,
    padding,
    snake,
    nearest_code,
    requantize,
    decode_codes,
    batch_norm,
    convolution,
    int8,
    int4,
    fp16,
)

RULES: tuple[type[Rule], ...] = tuple(rule for family in FAMILIES for rule in family.RULES)
