"""Wrong products with a weight."""

from __future__ import annotations

from vampconv_rules.linear import LowerLinear, LowerLinearBias, LowerPointwiseConv

from vampconv.dialect import vamp

from .variant import wrong


@wrong(LowerLinear, "not transposed")
def _after(op, x, weight):
    return op.MatMul(x, weight)


@wrong(LowerLinear, "reshaped for transposed")
def _after(op, x, weight, m):
    rows, width = m.shape("weight")
    return op.MatMul(x, op.Reshape(weight, [width, rows]))


@wrong(LowerLinear, "fires twice")
def _after(op, x, weight):
    if x.producer() is None:
        return vamp(op).Linear(op.Identity(x), weight)
    return op.MatMul(x, op.Transpose(weight, perm=[1, 0]))


@wrong(LowerLinear, "two results for one")
def _after(op, x, weight):
    product = op.MatMul(x, op.Transpose(weight, perm=[1, 0]))
    return product, product


@wrong(LowerLinearBias, "no bias")
def _after(op, x, weight):
    return op.MatMul(x, op.Transpose(weight, perm=[1, 0]))


@wrong(LowerLinearBias, "bias subtracted")
def _after(op, x, weight, bias):
    return op.Sub(op.MatMul(x, op.Transpose(weight, perm=[1, 0])), bias)


@wrong(LowerLinearBias, "bias first")
def _after(op, x, weight, bias):
    shift = op.MatMul(op.Unsqueeze(bias, [0]), weight)
    return op.MatMul(op.Add(x, shift), op.Transpose(weight, perm=[1, 0]))


@wrong(LowerLinearBias, "Gemm, which takes matrices")
def _after(op, x, weight, bias):
    return op.Gemm(x, weight, bias, transB=1)


@wrong(LowerPointwiseConv, "no bias")
def _after(op, x, weight):
    return op.MatMul(x, op.Transpose(op.Squeeze(weight, [2]), perm=[1, 0]))


@wrong(LowerPointwiseConv, "reshaped for transposed")
def _after(op, x, weight, bias, m):
    rows, width, _ = m.shape("weight")
    return op.Add(op.MatMul(x, op.Reshape(weight, [width, rows])), bias)


@wrong(LowerPointwiseConv, "a convolution of time-major data")
def _after(op, x, weight, bias):
    return op.Conv(x, weight, bias)


@wrong(LowerPointwiseConv, "a convolution, left channel-major")
def _after(op, x, weight, bias):
    return op.Conv(op.Transpose(x, perm=[0, 2, 1]), weight, bias)
