"""Wrong products in float16."""

from __future__ import annotations

from vampconv_rules.fp16 import (
    FLOAT,
    HALF,
    HalfProduct,
    HalfTable,
    NarrowBeforeReshape,
    NarrowBeforeTranspose,
    NarrowOnce,
)

from vampconv.rewrite import Near

from .variant import also, unguarded, wrong

BFLOAT16 = 16


def cast(op, x, to=HALF):
    return op.Cast(x, to=to)


@wrong(HalfProduct, "the result stays narrow")
def _after(op, a, b):
    return op.MatMul(cast(op, a), cast(op, b))


@wrong(HalfProduct, "bfloat16")
def _after(op, a, b):
    return op.MatMul(*(cast(op, cast(op, x, BFLOAT16), FLOAT) for x in (a, b)))


@wrong(HalfProduct, "the other way round")
def _after(op, a, b):
    return cast(op, op.MatMul(cast(op, b), cast(op, a)), FLOAT)


also(HalfProduct, "unguarded", require=unguarded)
also(HalfProduct, "claims more than it can hold", claim=Near(1e-5))


@wrong(HalfTable, "the result stays narrow")
def _after(op, table, rows, axis):
    return op.Gather(cast(op, table), rows, axis=axis)


@wrong(HalfTable, "always rows")
def _after(op, table, rows):
    return cast(op, op.Gather(cast(op, table), rows, axis=0), FLOAT)


also(HalfTable, "unguarded", require=unguarded)


@wrong(NarrowBeforeTranspose, "the inverse order")
def _after(op, x, perm):
    return op.Transpose(cast(op, x), perm=[perm.index(axis) for axis in range(len(perm))])


also(NarrowBeforeTranspose, "unguarded", require=unguarded)


@wrong(NarrowBeforeReshape, "halves are lost")
def _after(op, x, shape):
    return cast(op, op.Reshape(op.Round(x), shape))


also(NarrowBeforeReshape, "unguarded", require=unguarded)


@wrong(NarrowOnce, "by way of integers")
def _after(op, x):
    return cast(op, op.Cast(x, to=6))


also(NarrowOnce, "unguarded", require=unguarded)
