"""Wrong operators of ONNX Runtime."""

from __future__ import annotations

from vampconv_rules.ort_attention import OrtAttention, OrtUnbiasedAttention
from vampconv_rules.ort_gelu import OrtGatedGELU, OrtTanhGELU

from vampconv.dialect import microsoft

from .variant import also, unguarded, wrong


@wrong(OrtAttention, "no bias")
def _after(op, q, k, v, heads):
    return microsoft(op).MultiHeadAttention(q, k, v, num_heads=heads)


@wrong(OrtAttention, "one head")
def _after(op, q, k, v, bias):
    one = op.ReduceMean(bias, axes=[1], keepdims=1)
    return microsoft(op).MultiHeadAttention(q, k, v, None, None, one, num_heads=1)


@wrong(OrtAttention, "keys for values")
def _after(op, q, k, v, bias, heads):
    return microsoft(op).MultiHeadAttention(q, v, k, None, None, bias, num_heads=heads)


@wrong(OrtAttention, "no scale")
def _after(op, q, k, v, bias, heads):
    return microsoft(op).MultiHeadAttention(q, k, v, None, None, bias, num_heads=heads, scale=1.0)


also(OrtAttention, "any width", require=unguarded)


@wrong(OrtUnbiasedAttention, "causal")
def _after(op, q, k, v, heads):
    return microsoft(op).MultiHeadAttention(q, k, v, num_heads=heads, unidirectional=1)


@wrong(OrtUnbiasedAttention, "queries for keys")
def _after(op, q, k, v, heads):
    return microsoft(op).MultiHeadAttention(k, q, v, num_heads=heads)


@wrong(OrtUnbiasedAttention, "no scale")
def _after(op, q, k, v, heads):
    return microsoft(op).MultiHeadAttention(q, k, v, num_heads=heads, scale=1.0)


@wrong(OrtGatedGELU, "the halves changed for each other")
def _after(op, x, m):
    half = m.size("x", -1) // 2
    gate, value = op.Split(x, [half, half], axis=-1, outputs=2)
    return op.Mul(value, microsoft(op).FastGelu(gate))


@wrong(OrtGatedGELU, "the sigmoid form")
def _after(op, x, m):
    half = m.size("x", -1) // 2
    value, gate = op.Split(x, [half, half], axis=-1, outputs=2)
    return op.Mul(value, microsoft(op).QuickGelu(gate, alpha=1.702))


@wrong(OrtTanhGELU, "the sigmoid form")
def _after(op, x):
    return microsoft(op).QuickGelu(x, alpha=1.702)


@wrong(OrtTanhGELU, "the error function")
def _after(op, x):
    return microsoft(op).Gelu(x)
