"""Wrong products in 4 bits."""

from __future__ import annotations

import numpy as np
from vampconv_rules.int4 import BLOCK, UINT8, QuantizeProductTo4Bits

from vampconv.dialect import microsoft

from .variant import also, unguarded, wrong


def product(op, x, weight, m, *, places=(1, 16), middle=8.0, levels=7.0, turned=True):
    """The right product, but for what is said."""
    features, columns = m.size("weight", 0), m.size("weight", 1)
    count = features // BLOCK
    rows = op.Transpose(weight, perm=[1, 0]) if turned else weight
    blocks = op.Reshape(rows, [columns, count, BLOCK])
    axes = {"axes": [-1]} if m.opset < 18 else {}
    largest = op.ReduceMax(op.Abs(blocks), *([] if axes else [[-1]]), keepdims=1, **axes)
    scales = op.Div(op.Max(largest, 1e-30), levels)
    steps = op.Add(op.Round(op.Div(blocks, scales)), middle)
    pairs = op.Mul(op.Reshape(steps, [columns, count, BLOCK // 2, 2]), np.array(places, np.float32))
    packed = op.Cast(op.ReduceSum(pairs, [-1], keepdims=0), to=UINT8)
    form = {"K": features, "N": columns, "bits": 4, "block_size": BLOCK}
    return microsoft(op).MatMulNBits(x, packed, op.Squeeze(scales, [2]), **form)


@wrong(QuantizeProductTo4Bits, "the halves of a byte changed for each other")
def _after(op, x, weight, m):
    return product(op, x, weight, m, places=(16, 1))


@wrong(QuantizeProductTo4Bits, "another middle")
def _after(op, x, weight, m):
    return product(op, x, weight, m, middle=7.0)


@wrong(QuantizeProductTo4Bits, "3 bits")
def _after(op, x, weight, m):
    return product(op, x, weight, m, levels=3.0)


@wrong(QuantizeProductTo4Bits, "not transposed")
def _after(op, x, weight, m):
    return product(op, x, weight, m, turned=False)


also(QuantizeProductTo4Bits, "any weight", require=unguarded)
