"""Wrong products in 8 bits."""

from __future__ import annotations

from vampconv_rules.int8 import FLOAT, INT8, QuantizeGatedProduct, QuantizeProduct

from .variant import also, unguarded, wrong


def maximum(op, x, m, axis):
    axes = {"axes": [axis]} if m.opset < 18 else {}
    return op.Max(op.ReduceMax(op.Abs(x), *([] if axes else [[axis]]), keepdims=1, **axes), 1e-30)


def product(op, x, weight, m, *, scales=None, levels=127.0, rounded=True, unscaled=False, zero=True):
    """The right product, but for what is said."""
    columns = op.Transpose(weight, perm=[1, 0])
    scales = op.Div(maximum(op, columns, m, 1) if scales is None else scales, levels)
    steps = op.Div(columns, scales)
    matrix = op.Transpose(op.Cast(op.Round(steps) if rounded else steps, to=INT8), perm=[1, 0])
    whole, step, middle = op.DynamicQuantizeLinear(x, outputs=3)
    integers = op.MatMulInteger(whole, matrix, *([middle] if zero else []))
    scales = op.Squeeze(scales, [1])
    return op.Mul(op.Cast(integers, to=FLOAT), scales if unscaled else op.Mul(step, scales))


@wrong(QuantizeProduct, "one scale for the whole weight")
def _after(op, x, weight, m):
    columns = op.Transpose(weight, perm=[1, 0])
    whole = maximum(op, op.Reshape(columns, [1, -1]), m, 1)
    return product(op, x, weight, m, scales=op.Expand(whole, [m.size("weight", 1), 1]))


@wrong(QuantizeProduct, "scales of the rows")
def _after(op, x, weight, m):
    rows = maximum(op, weight, m, 1)
    return product(op, x, weight, m, scales=op.Gather(rows, list(range(m.size("weight", 1)))))


@wrong(QuantizeProduct, "weights that overflow")
def _after(op, x, weight, m):
    return product(op, x, weight, m, levels=192.0)


@wrong(QuantizeProduct, "7 bits instead of 8")
def _after(op, x, weight, m):
    return product(op, x, weight, m, levels=31.0)


@wrong(QuantizeProduct, "weights cut off, not rounded")
def _after(op, x, weight, m):
    return product(op, x, weight, m, rounded=False)


@wrong(QuantizeProduct, "no scale of the activations")
def _after(op, x, weight, m):
    return product(op, x, weight, m, unscaled=True)


@wrong(QuantizeProduct, "no zero point")
def _after(op, x, weight, m):
    return product(op, x, weight, m, zero=False)


also(QuantizeProduct, "any weight", require=unguarded)


@wrong(QuantizeGatedProduct, "one scale for all rows")
def _after(op, value, gate, weight, m):
    return product(op, op.Mul(value, gate), weight, m)


@wrong(QuantizeGatedProduct, "the scale of the rows left out")
def _after(op, value, gate, weight, m):
    x = op.Mul(value, gate)
    return product(op, op.Div(x, maximum(op, x, m, -1)), weight, m)


@wrong(QuantizeGatedProduct, "a scale for each feature")
def _after(op, value, gate, weight, m):
    x = op.Mul(value, gate)
    most = maximum(op, x, m, 1)
    return op.Mul(product(op, op.Div(x, most), weight, m), op.Gather(most, list(range(48)), axis=2))


@wrong(QuantizeGatedProduct, "rows of zeros divide by zero")
def _after(op, value, gate, weight, m):
    x = op.Mul(value, gate)
    axes = {"axes": [-1]} if m.opset < 18 else {}
    most = op.ReduceMax(op.Abs(x), *([] if axes else [[-1]]), keepdims=1, **axes)
    return op.Mul(product(op, op.Div(x, most), weight, m), most)


also(QuantizeGatedProduct, "any product", require=unguarded)
