"""Products with weights in 4 bits, as ONNX Runtime has them: a scale for each block of a column."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, microsoft
from vampconv.rewrite import Draw, Guard, Match, Near, Refused, Rule, Sample, Stage, V

from .int8 import TINY, is_matrix, largest, refused

UINT8 = 2
BLOCK = 32
"""Weights that share a scale; the finest that ONNX Runtime has a fast product for."""
MIDDLE, LARGEST = 8.0, 7.0
"""What stands for zero, and how far weights go from it."""
IN_INT8 = 4
"""The level at which activations are taken in 8 bits as well, block by block."""


class QuantizeProductTo4Bits(Rule):
    """``x · weight`` by ``MatMulNBits``, the weight in 4 bits, with a scale for 32 elements of each column."""

    stage = Stage.TARGET
    target = "ort"
    precision = "int4"
    claim = Near(0.2)

    @staticmethod
    def before(op: Ops, x: V, weight: V) -> V:
        return op.MatMul(x, weight)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield m.floats("x", "weight"), "it is not in float32"
        yield from is_matrix(m)
        yield m.size("weight", 0) % BLOCK == 0, "the columns are not made of whole blocks"
        yield not m.is_weight("x"), "it is a product of constants"

    @staticmethod
    def after(op: Ops, x: V, weight: V, m: Match) -> V:
        features, columns = m.size("weight", 0), m.size("weight", 1)
        count = features // BLOCK
        blocks = op.Reshape(op.Transpose(weight, perm=[1, 0]), [columns, count, BLOCK])
        scales = op.Div(largest(op, blocks, m), LARGEST)
        steps = op.Add(op.Round(op.Div(blocks, op.Max(scales, TINY))), MIDDLE)
        pairs = op.Mul(op.Reshape(steps, [columns, count, BLOCK // 2, 2]), np.array([1, 16], np.float32))
        packed = op.Cast(op.ReduceSum(pairs, [-1], keepdims=0), to=UINT8)
        form = {"K": features, "N": columns, "bits": 4, "block_size": BLOCK, "accuracy_level": IN_INT8}
        return microsoft(op).MatMulNBits(x, packed, op.Squeeze(scales, [2]), **form)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        good: dict[str, V] = {"x": draw("batch", "time", 64)}
        weight = draw(64, 48)
        yield Sample(**good, weight=weight)
        yield Sample(x=draw("batch", "time", 32), weight=draw(32, 20))
        yield Sample(**good, weight=weight * np.float32(10) ** draw.uniform(-4, 4, 48))
        zeros = draw(64, 48)
        zeros[:, 3] = 0
        yield Sample(x=draw("batch", "time", 64, scale=1e-4), weight=zeros)
        yield Refused("product of constants", x=draw(5, 64), weight=weight)
        yield Refused("whole blocks", x=draw("batch", 40), weight=draw(40, 48))
        yield from refused(draw, good, weight)


RULES = (QuantizeProductTo4Bits,)
