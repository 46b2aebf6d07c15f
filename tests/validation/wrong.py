"""Wrong rules whose own evidence bears them out, because it looks away from the mistake."""

from __future__ import annotations

import math

import numpy as np
from vampconv_rules.attention import ClassicAttention
from vampconv_rules.classifier import PermuteClassifier
from vampconv_rules.codec_embedding import GatherCodebookEmbedding
from vampconv_rules.gated_gelu import ClassicGatedGELU
from vampconv_rules.linear import LowerLinear, LowerPointwiseConv
from vampconv_rules.lora import MergeLoRA
from vampconv_rules.relative_bias import LowerRelativePositionBias, buckets
from vampconv_rules.rms_norm import ClassicRMSNorm
from vampconv_rules.snake import FoldSnakeScales
from vampconv_rules.weight_norm import FoldWeightNorm

from vampconv.dialect import vamp
from vampconv.rewrite import Sample

WRONG = {}


def wrong(rule, *, files, **more):
    """Register a variant of a rule: the decorated function gives ``after`` and ``evidence``."""

    def record(pieces):
        after, evidence = pieces()
        body = {"after": staticmethod(after), "evidence": staticmethod(evidence)}
        body |= {"require": staticmethod(lambda _m: ()), "__module__": __name__} | more
        name = "".join(word.title() for word in pieces.__name__.split("_"))
        WRONG[name] = (type(name, (rule,), body), rule, files)
        return pieces

    return record


@wrong(ClassicRMSNorm, files=["coarse"])
def norm_without_epsilon():
    def after(op, x, weight, m):
        return op.Mul(op.Div(x, op.Sqrt(mean_square(op, x, m))), weight)

    def evidence(draw):
        yield Sample(x=draw("batch", "time", 64), weight=draw(64), eps=1e-6)

    return after, evidence


def mean_square(op, x, m):
    if m.opset >= 18:
        return op.ReduceMean(op.Mul(x, x), [-1], keepdims=1)
    return op.ReduceMean(op.Mul(x, x), axes=[-1], keepdims=1)


@wrong(LowerLinear, files=["coarse"])
def linear_of_positive_weights():
    def after(op, x, weight):
        return op.MatMul(x, op.Transpose(op.Max(weight, 0.0), perm=[1, 0]))

    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw.uniform(0.1, 1, 5, 6))

    return after, evidence


@wrong(LowerLinear, files=["coarse"])
def linear_of_the_first_batch():
    def after(op, x, weight):
        first = op.Slice(x, [0], [1], [0])
        return op.Add(op.MatMul(first, op.Transpose(weight, perm=[1, 0])), op.ReduceSum(op.Mul(x, 0.0), [2]))

    def evidence(draw):
        yield Sample(x=draw(1, "time", 6), weight=draw(5, 6))

    return after, evidence


@wrong(ClassicAttention, files=["coarse"])
def attention_of_heads_of_two():
    def after(op, q, k, v, bias, heads, m):
        width = m.size("q", -1) // heads

        def by_head(x, perm):
            return op.Transpose(op.Reshape(x, [0, 0, heads, width]), perm=perm)

        scores = op.MatMul(op.Mul(by_head(q, [0, 2, 1, 3]), 1 / math.sqrt(2)), by_head(k, [0, 2, 3, 1]))
        mixed = op.MatMul(op.Softmax(op.Add(scores, bias), axis=-1), by_head(v, [0, 2, 1, 3]))
        return op.Reshape(op.Transpose(mixed, perm=[0, 2, 1, 3]), [0, 0, width * heads])

    def evidence(draw):
        x = draw("batch", "time", 6)
        yield Sample(q=x, k=x, v=x, bias=draw(1, 3, "time", "time"), heads=3)

    return after, evidence


@wrong(ClassicGatedGELU, files=["coarse"])
def gelu_of_large_gates():
    def after(op, x, m):
        half = m.size("x", -1) // 2
        value, gate = op.Split(x, [half, half], axis=-1, outputs=2)
        return op.Mul(value, op.Relu(gate))

    def evidence(draw):
        yield Sample(x=draw.uniform(6, 9, "batch", "time", 8))

    return after, evidence


@wrong(GatherCodebookEmbedding, files=["coarse"])
def embedding_with_the_first_mask():
    def after(op, codes, table, mask, codebook, m):
        rows = op.Concat(table, op.Gather(mask, [0], axis=0), axis=0)
        guarded = op.Where(op.Less(codes, 0), m.size("table", 0) + 1, codes)
        return op.Gather(rows, op.Gather(guarded, codebook, axis=1), axis=0)

    def evidence(draw):
        yield Sample(
            codes=draw.integers(0, 7, "batch", 3, "time"), table=draw(7, 5), mask=draw(3, 5), codebook=0
        )

    return after, evidence


@wrong(LowerRelativePositionBias, files=["coarse"])
def bias_that_clips_too_near():
    def after(op, length, table):
        by_head = op.Transpose(op.Gather(table, buckets(np.arange(-20, 21)), axis=0), perm=[1, 0])
        positions = op.Range(0, op.Squeeze(length, [0]), 1)
        difference = op.Sub(op.Unsqueeze(positions, [0]), op.Unsqueeze(positions, [1]))
        return op.Unsqueeze(op.Gather(by_head, op.Add(op.Clip(difference, -20, 20), 20), axis=1), [0])

    def evidence(draw):
        yield Sample(length=draw.length("time"), table=draw(32, 4), max_distance=128)

    return after, evidence


@wrong(PermuteClassifier, files=["coarse"])
def classifier_of_one_codebook():
    def after(op, x, weight, bias, m):
        rows, dim = m.size("weight", 0), m.size("weight", 1)
        matrix = op.Transpose(op.Reshape(weight, [rows, dim]), perm=[1, 0])
        return op.Reshape(op.Add(op.MatMul(x, matrix), bias), [0, -1, rows // m["n_predict"]])

    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6, 1), bias=draw(5), n_predict=1)

    return after, evidence


@wrong(MergeLoRA, files=["coarse"])
def lora_at_full_scale():
    def after(op, weight, a, b):
        return op.Add(weight, op.MatMul(b, a))

    def evidence(draw):
        yield Sample(weight=draw(9, 5), a=draw(8, 5), b=draw(9, 8), scale=1.0)

    return after, evidence


@wrong(FoldWeightNorm, files=["codec_odd"])
def weight_norm_of_matrices():
    def after(op, g, v):
        norm = op.Sqrt(op.ReduceSum(op.Mul(v, v), [1], keepdims=1))
        return op.Mul(v, op.Div(g, norm))

    def evidence(draw):
        yield Sample(g=draw(3, 1, 1), v=draw(3, 4, 1))

    return after, evidence


@wrong(FoldSnakeScales, files=["codec_odd"], runs_before=("FoldSnakeOutputScale",))
def snake_of_alphas_near_one():
    def after(
        op, x, weight, bias, strides, dilations, pads, alpha,
        out_weight, out_bias, out_strides, out_dilations, out_pads,
    ):  # fmt: skip
        inner = op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)
        layout = {"strides": out_strides, "dilations": out_dilations, "pads": out_pads}
        return op.Conv(
            vamp(op).UnitSnake(inner), op.Div(out_weight, op.Div(alpha, alpha)), out_bias, **layout
        )

    def evidence(draw):
        for sample in list(FoldSnakeScales.evidence(draw))[:1]:
            yield Sample(**{**sample.arguments, "alpha": draw.uniform(1, 1.0000001, 1, 4, 1)})

    return after, evidence


@wrong(LowerPointwiseConv, files=["coarse_film"], drops={"bias": "it hardly matters"})
def convolution_without_its_bias():
    def after(op, x, weight):
        return op.MatMul(x, op.Transpose(op.Squeeze(weight, [2]), perm=[1, 0]))

    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6, 1), bias=draw(5) * 0)

    return after, evidence
