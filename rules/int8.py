"""Products with weights in 8 bits: weights by column at conversion, activations when the model runs.

Written in standard operators, which ONNX Runtime takes together as one (``DynamicQuantizeMatMul``).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops
from vampconv.rewrite import Draw, Guard, Match, Near, Refused, Rule, Sample, Stage, V

FLOAT, INT8 = 1, 3
LARGEST = 127.0
"""Weights go from -127 to 127, so that every column has its zero in the middle."""
TINY = 1e-30
"""Stands for the largest element where all are zero."""


class QuantizeGatedProduct(Rule):
    """``(value · gate) · weight``, ``x · weight`` for short, in 8 bits, each row of ``x`` scaled to its own maximum.

    Products of two activations are far apart in size from row to row; the rows of a norm are not.
    """

    stage = Stage.TARGET
    precision = "int8"
    claim = Near(0.02, by_rows=True)

    @staticmethod
    def before(op: Ops, value: V, gate: V, weight: V) -> V:
        return op.MatMul(op.Mul(value, gate), weight)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("value", "gate", "weight"), "it is not in float32"
        yield from is_matrix(m)
        yield not (m.is_weight("value") or m.is_weight("gate")), "a constant scale makes rows no less alike"

    @staticmethod
    def after(op: Ops, value: V, gate: V, weight: V, m: Match) -> V:
        x = op.Mul(value, gate)
        rows = op.Max(largest(op, x, m), TINY)
        return op.Mul(_product(op, op.Div(x, rows), weight, m), rows)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        good: dict[str, V] = {"value": draw("batch", "time", 64), "gate": draw("batch", "time", 64)}
        weight, uneven = draw(64, 48), draw("batch", "time", 1) ** 3 * np.float32(1e3)
        yield Sample(**good, weight=weight)
        yield Sample(value=good["value"], gate=uneven, weight=weight)
        weight[:, 3] = 0
        yield Sample(**good, weight=weight)
        yield Sample(value=draw("batch", "time", 64) * 0, gate=good["gate"], weight=weight)
        yield Refused("constant scale", value=good["value"], gate=draw(64), weight=weight)
        yield from refused(draw, good, weight)


class QuantizeProduct(Rule, after="QuantizeGatedProduct"):
    """``x · weight`` in 8 bits: one scale for all of ``x``, one for each column of ``weight``."""

    stage = Stage.TARGET
    precision = "int8"
    claim = Near(0.02)

    @staticmethod
    def before(op: Ops, x: V, weight: V) -> V:
        return op.MatMul(x, weight)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x", "weight"), "it is not in float32"
        yield from is_matrix(m)
        yield not m.is_weight("x"), "it is a product of constants"

    @staticmethod
    def after(op: Ops, x: V, weight: V, m: Match) -> V:
        return _product(op, x, weight, m)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        good: dict[str, V] = {"x": draw("batch", "time", 64)}
        for weight in _weights(draw):
            yield Sample(**good, weight=weight)
        yield Sample(x=draw.uniform(0, 1, "batch", "time", 64), weight=weight)
        yield Sample(x=draw("batch", "time", 64, scale=1e-4), weight=weight)
        yield Sample(x=draw("long", 64) * 0, weight=weight)
        yield Refused("product of constants", x=draw(5, 64), weight=weight)
        yield from refused(draw, good, weight)


def _product(op: Ops, x: V, weight: V, m: Match) -> V:
    """``x · weight`` by DynamicQuantizeLinear and MatMulInteger."""
    columns = op.Transpose(weight, perm=[1, 0])
    scales = op.Div(op.Max(largest(op, columns, m), TINY), LARGEST)
    matrix = op.Transpose(op.Cast(op.Round(op.Div(columns, scales)), to=INT8), perm=[1, 0])
    whole, step, zero = op.DynamicQuantizeLinear(x, outputs=3)
    product = op.Cast(op.MatMulInteger(whole, matrix, zero), to=FLOAT)
    return op.Mul(product, op.Mul(step, op.Squeeze(scales, [1])))


def largest(op: Ops, x: V, m: Match) -> V:
    """The largest magnitude along the last axis, which stays."""
    if m.opset >= 18:
        return op.ReduceMax(op.Abs(x), [-1], keepdims=1)
    return op.ReduceMax(op.Abs(x), axes=[-1], keepdims=1)


def is_matrix(m: Match) -> Iterator[Guard]:
    """The weight is a constant whose size is known."""
    yield m.is_weight("weight"), "the weight is not a constant"
    known = len(m.shape("weight") or ()) == 2 and m.size("weight", 0) > 0 and m.size("weight", 1) > 0
    yield known, "the weight is no matrix of a known size"


def _weights(draw: Draw) -> Iterator[V]:
    """Columns alike; columns far apart in size; a column of zeros."""
    weight = draw(64, 48)
    yield weight
    yield weight * np.float32(10) ** draw.uniform(-4, 4, 48)
    weight = draw(64, 48)
    weight[:, 3] = 0
    yield weight


def refused(draw: Draw, good: dict[str, V], weight: V) -> Iterator[Refused]:
    """What no product takes in few bits: a weight that is computed or no matrix, and other types."""
    yield Refused("not a constant", **good, weight=draw.input(64, 48))
    yield Refused("known size", **good, weight=draw(2, 64, 48)[:1])
    double = {name: x.astype(np.float64) for name, x in good.items()}
    yield Refused("float32", **double, weight=weight.astype(np.float64))


RULES = (QuantizeGatedProduct, QuantizeProduct)
