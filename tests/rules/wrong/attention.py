"""Wrong attention."""

from __future__ import annotations

import math

from vampconv_rules.attention import ClassicAttention, StandardAttention, UnbiasedAttention

from .variant import also, unguarded, wrong


def attend(op, q, k, v, bias, heads, m, *, scale=None, axis=-1, split=None, merge=(0, 2, 1, 3), add="scores"):
    """The classic attention with one part exchanged."""
    dim = m.size("q", -1)
    width = dim // heads
    split = split or (lambda x: op.Transpose(op.Reshape(x, [0, 0, heads, width]), perm=[0, 2, 1, 3]))
    scale = 1 / math.sqrt(width) if scale is None else scale(width, dim)
    scores = op.MatMul(op.Mul(split(q), scale), op.Transpose(split(k), perm=[0, 1, 3, 2]))
    if bias is not None and add == "scores":
        scores = op.Add(scores, bias)
    weights = op.Softmax(scores, axis=axis)
    if add == "weights":
        weights = op.Add(weights, bias)
    return op.Reshape(op.Transpose(op.MatMul(weights, split(v)), perm=list(merge)), [0, 0, dim])


SCALES = {
    "no scale": lambda _width, _dim: 1.0,
    "scale 1/d": lambda width, _dim: 1 / width,
    "scale sqrt(d)": lambda width, _dim: math.sqrt(width),
    "scale of the whole width": lambda _width, dim: 1 / math.sqrt(dim),
    "scaled twice": lambda width, _dim: 1 / math.sqrt(width) ** 2,
}

for mistake, scale in SCALES.items():

    @wrong(ClassicAttention, mistake)
    def _after(op, q, k, v, bias, heads, m, scale=scale):
        return attend(op, q, k, v, bias, heads, m, scale=scale)

    @wrong(UnbiasedAttention, mistake)
    def _after(op, q, k, v, heads, m, scale=scale):
        return attend(op, q, k, v, None, heads, m, scale=scale)


for axis, over in {2: "queries", 1: "heads", 0: "the batch"}.items():

    @wrong(ClassicAttention, f"softmax over {over}")
    def _after(op, q, k, v, bias, heads, m, axis=axis):
        return attend(op, q, k, v, bias, heads, m, axis=axis)


@wrong(ClassicAttention, "heads interleaved: feature i is of head i mod heads")
def _after(op, q, k, v, bias, heads, m):
    width = m.size("q", -1) // heads

    def split(x):
        return op.Transpose(op.Reshape(x, [0, 0, width, heads]), perm=[0, 3, 1, 2])

    return attend(op, q, k, v, bias, heads, m, split=split)


@wrong(ClassicAttention, "heads split without a transposition")
def _after(op, q, k, v, bias, heads, m):
    width = m.size("q", -1) // heads
    return attend(op, q, k, v, bias, heads, m, split=lambda x: op.Reshape(x, [0, heads, -1, width]))


@wrong(ClassicAttention, "heads merged the other way")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, k, v, bias, heads, m, merge=(0, 2, 3, 1))


@wrong(ClassicAttention, "heads not put back")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, k, v, bias, heads, m, merge=(0, 1, 2, 3))


@wrong(ClassicAttention, "bias after the softmax")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, k, v, bias, heads, m, add="weights")


@wrong(ClassicAttention, "no bias")
def _after(op, q, k, v, heads, m):
    return attend(op, q, k, v, None, heads, m)


@wrong(ClassicAttention, "bias transposed")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, k, v, op.Transpose(bias, perm=[0, 1, 3, 2]), heads, m)


@wrong(ClassicAttention, "the first head's bias for all")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, k, v, op.Gather(bias, [0], axis=1), heads, m)


@wrong(ClassicAttention, "bias scaled with the scores")
def _after(op, q, k, v, bias, heads, m):
    scaled = op.Mul(bias, 1 / math.sqrt(m.size("q", -1) // heads))
    return attend(op, q, k, v, scaled, heads, m)


@wrong(ClassicAttention, "bias in front of the scale")
def _after(op, q, k, v, bias, heads, m):
    width = m.size("q", -1) // heads
    return attend(op, q, k, v, op.Mul(bias, math.sqrt(width)), heads, m)


@wrong(ClassicAttention, "q and k exchanged")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, k, q, v, bias, heads, m)


@wrong(ClassicAttention, "k and v exchanged")
def _after(op, q, k, v, bias, heads, m):
    return attend(op, q, v, k, bias, heads, m)


@wrong(ClassicAttention, "causal")
def _after(op, q, k, v, bias, heads, m):
    steps = op.Gather(op.Shape(q), [1], axis=0)
    ones = op.Expand(1.0, op.Concat(steps, steps, axis=0))
    future = op.Mul(op.Trilu(ones, 1, upper=1), -1e9)
    return attend(op, q, k, v, op.Add(bias, future), heads, m)


@wrong(ClassicAttention, "a softmax that overflows")
def _after(op, q, k, v, bias, heads, m):
    width = m.size("q", -1) // heads

    def split(x):
        return op.Transpose(op.Reshape(x, [0, 0, heads, width]), perm=[0, 2, 1, 3])

    keys = op.Transpose(split(k), perm=[0, 1, 3, 2])
    scores = op.Exp(op.Add(op.MatMul(op.Mul(split(q), 1 / math.sqrt(width)), keys), bias))
    weights = op.Div(scores, op.ReduceSum(scores, [-1], keepdims=1))
    return op.Reshape(op.Transpose(op.MatMul(weights, split(v)), perm=[0, 2, 1, 3]), [0, 0, m.size("q", -1)])


@wrong(UnbiasedAttention, "heads interleaved")
def _after(op, q, k, v, heads, m):
    width = m.size("q", -1) // heads

    def split(x):
        return op.Transpose(op.Reshape(x, [0, 0, width, heads]), perm=[0, 3, 1, 2])

    return attend(op, q, k, v, None, heads, m, split=split)


@wrong(UnbiasedAttention, "softmax over queries")
def _after(op, q, k, v, heads, m):
    return attend(op, q, k, v, None, heads, m, axis=2)


def standard(op, q, k, v, bias, heads, **attributes):
    return op.Attention(q, k, v, bias, q_num_heads=heads, kv_num_heads=heads, **attributes)


@wrong(StandardAttention, "scale 1")
def _after(op, q, k, v, bias, heads):
    return standard(op, q, k, v, bias, heads, scale=1.0)


@wrong(StandardAttention, "scale of the whole width")
def _after(op, q, k, v, bias, heads, m):
    return standard(op, q, k, v, bias, heads, scale=1 / math.sqrt(m.size("q", -1)))


@wrong(StandardAttention, "no bias")
def _after(op, q, k, v, heads):
    return standard(op, q, k, v, None, heads)


@wrong(StandardAttention, "causal")
def _after(op, q, k, v, bias, heads):
    return standard(op, q, k, v, bias, heads, is_causal=1)


@wrong(StandardAttention, "one head")
def _after(op, q, k, v, bias):
    return standard(op, q, k, v, op.Gather(bias, [0], axis=1), 1)


@wrong(StandardAttention, "bias transposed")
def _after(op, q, k, v, bias, heads):
    return standard(op, q, k, v, op.Transpose(bias, perm=[0, 1, 3, 2]), heads)


@wrong(StandardAttention, "capped scores")
def _after(op, q, k, v, bias, heads):
    return standard(op, q, k, v, bias, heads, softcap=50.0)


also(StandardAttention, "unguarded", require=unguarded)
also(StandardAttention, "guarded too loosely", require=lambda m: [(m.opset >= 20, "needs opset 23")])
also(ClassicAttention, "unguarded", require=unguarded)
also(UnbiasedAttention, "unguarded", require=unguarded)
also(StandardAttention, "any width", require=lambda m: [(m.opset >= 23, "Attention needs opset 23")])
