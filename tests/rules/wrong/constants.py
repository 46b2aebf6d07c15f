"""Wrong weights: weight normalisation and LoRA."""

from __future__ import annotations

from vampconv_rules.lora import MergeLoRA
from vampconv_rules.weight_norm import FoldWeightNorm

from .variant import also, unguarded, wrong


def normed(op, g, v, m, axes=None):
    axes = axes or list(range(1, len(m.shape("v"))))
    return op.Mul(v, op.Div(g, op.Sqrt(op.ReduceSum(op.Mul(v, v), axes, keepdims=1))))


@wrong(FoldWeightNorm, "the norm over the wrong axis")
def _after(op, g, v, m):
    return normed(op, g, v, m, [0])


@wrong(FoldWeightNorm, "the norm over axis 1 alone")
def _after(op, g, v, m):
    return normed(op, g, v, m, [1])


@wrong(FoldWeightNorm, "the norm over the last axis alone")
def _after(op, g, v, m):
    return normed(op, g, v, m, [-1])


@wrong(FoldWeightNorm, "the norm over everything")
def _after(op, g, v, m):
    return normed(op, g, v, m, list(range(len(m.shape("v")))))


@wrong(FoldWeightNorm, "no norm")
def _after(op, g, v):
    return op.Mul(v, g)


@wrong(FoldWeightNorm, "v alone")
def _after(op, v):
    return op.Identity(v)


@wrong(FoldWeightNorm, "no g")
def _after(op, v, m):
    axes = list(range(1, len(m.shape("v"))))
    return op.Div(v, op.Sqrt(op.ReduceSum(op.Mul(v, v), axes, keepdims=1)))


@wrong(FoldWeightNorm, "the squared norm")
def _after(op, g, v, m):
    axes = list(range(1, len(m.shape("v"))))
    return op.Mul(v, op.Div(g, op.ReduceSum(op.Mul(v, v), axes, keepdims=1)))


@wrong(FoldWeightNorm, "the sum of magnitudes")
def _after(op, g, v, m):
    axes = list(range(1, len(m.shape("v"))))
    return op.Mul(v, op.Div(g, op.ReduceSum(op.Abs(v), axes, keepdims=1)))


@wrong(FoldWeightNorm, "a guarding eps")
def _after(op, g, v, m):
    axes = list(range(1, len(m.shape("v"))))
    squares = op.ReduceSum(op.Mul(v, v), axes, keepdims=1)
    return op.Mul(v, op.Div(g, op.Sqrt(op.Add(squares, 1e-5))))


@wrong(FoldWeightNorm, "the rank is always 3")
def _after(op, g, v):
    return op.Mul(v, op.Div(g, op.Sqrt(op.ReduceSum(op.Mul(v, v), [1, 2], keepdims=1))))


also(FoldWeightNorm, "unguarded", require=unguarded)


@wrong(MergeLoRA, "no scale")
def _after(op, weight, a, b):
    return op.Add(weight, op.Mul(op.MatMul(b, a), 1.0))


@wrong(MergeLoRA, "scaled twice")
def _after(op, weight, a, b, scale):
    return op.Add(weight, op.Mul(op.Mul(op.MatMul(b, a), scale), scale))


@wrong(MergeLoRA, "1/8, whatever the op says")
def _after(op, weight, a, b):
    return op.Add(weight, op.Mul(op.MatMul(b, a), 0.125))


@wrong(MergeLoRA, "1/rank, whatever the op says")
def _after(op, weight, a, b, m):
    return op.Add(weight, op.Mul(op.MatMul(b, a), 1 / m.size("a", 0)))


@wrong(MergeLoRA, "divided by the scale")
def _after(op, weight, a, b, scale):
    return op.Add(weight, op.Div(op.MatMul(b, a), scale))


@wrong(MergeLoRA, "A·B")
def _after(op, weight, a, b, scale):
    return op.Add(weight, op.Mul(op.MatMul(a, b), scale))


@wrong(MergeLoRA, "B·A transposed")
def _after(op, weight, a, b, scale):
    return op.Add(weight, op.Mul(op.Transpose(op.MatMul(b, a), perm=[1, 0]), scale))


@wrong(MergeLoRA, "A read with its rank last")
def _after(op, weight, a, b, scale, m):
    rank, width = m.shape("a")
    shuffled = op.Transpose(op.Reshape(a, [width, rank]), perm=[1, 0])
    return op.Add(weight, op.Mul(op.MatMul(b, shuffled), scale))


@wrong(MergeLoRA, "subtracted, as when unmerging")
def _after(op, weight, a, b, scale):
    return op.Sub(weight, op.Mul(op.MatMul(b, a), scale))


@wrong(MergeLoRA, "the base alone")
def _after(op, weight):
    return op.Identity(weight)


@wrong(MergeLoRA, "the adaptation alone")
def _after(op, a, b, scale):
    return op.Mul(op.MatMul(b, a), scale)


@wrong(MergeLoRA, "merged twice")
def _after(op, weight, a, b, scale):
    delta = op.Mul(op.MatMul(b, a), scale)
    return op.Add(op.Add(weight, delta), delta)
