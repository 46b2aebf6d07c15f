"""The ``vamp`` op domain: one op per idea of the models, each with its shape rule and its meaning.

Importing this package registers every op in :data:`OPS`.
"""

from vampconv.dialect import (
    attention,
    batch_norm,
    classifier,
    control,
    embedding,
    film,
    gated_gelu,
    linear,
    lora,
    norm,
    padding,
    snake,
    vector_quantize,
    weight_norm,
)
from vampconv.dialect.builder import NodeBuilder, Ops, microsoft, vamp
from vampconv.dialect.op import DOMAIN, OPS, Dim, Dims, Op, expect

__all__ = [
    "DOMAIN",
    "OPS",
    "Dim",
    "Dims",
    "NodeBuilder",
    "Op",
    "Ops",
    "attention",
    "batch_norm",
    "classifier",
    "control",
    "embedding",
    "expect",
    "film",
    "gated_gelu",
    "linear",
    "lora",
    "microsoft",
    "norm",
    "padding",
    "snake",
    "vamp",
    "vector_quantize",
    "weight_norm",
]
