"""Replacements keep dtype, rank and sizes, as far as they are known; what is not known is let pass."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.dialect import NodeBuilder, vamp
from vampconv.rewrite.conserve import changed

FLOAT = ir.TensorType(ir.DataType.FLOAT)
OPSETS = {"": 17}


def value(*shape, dtype=FLOAT, unranked=False):
    return ir.Value(name="x", shape=None if unranked else ir.Shape(shape), type=dtype)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda op, x: op.Relu(x), None),
        (lambda op, x: x, None),  # noqa: ARG005
        (lambda op, x: op.Cast(x, to=7), "changes the dtype from float to int64"),
        (lambda op, x: op.Unsqueeze(x, [0]), "changes the rank from 3 to 4"),
        (lambda op, x: op.Reshape(x, [-1]), "changes the rank from 3 to 1"),
        (lambda op, x: op.Reshape(x, [0, 0, -1]), None),
        (lambda op, x: op.Transpose(x, perm=[2, 1, 0]), "changes the size on axis 0 from 2 to 6"),
        (lambda op, x: op.Slice(x, [0], [3], [2]), "changes the size on axis 2 from 6 to 3"),
        (lambda op, x: op.ReduceMean(x, axes=[-1], keepdims=0), "changes the rank from 3 to 2"),
        (lambda op, x: op.Split(x, [3, 3], axis=-1, outputs=2)[1], "changes the size on axis 2 from 6 to 3"),
        (lambda op, x: vamp(op).GatedGELU(x), "changes the size on axis 2 from 6 to 3"),
        (lambda op, x: op.Relu(vamp(op).GatedGELU(x)), "changes the size on axis 2 from 6 to 3"),
        (lambda op, x: op.Add(x, 1), "is ill-typed"),
        (lambda op, x: op.MatMul(x, np.ones((5, 6), np.float32)), "is ill-typed"),
        (lambda op, x: op.emit("com.example", "Any", (x,), {}, 1), None),
        (lambda op, x: op.Relu(op.emit("com.example", "Any", (x,), {}, 1)), None),
        (lambda op, x: op.NoSuchOperator(x), None),
    ],
)
def test_what_changes_is_told(make, told):
    x = value(2, "time", 6)
    found = changed([value(2, "time", 6)], [make(NodeBuilder("m"), x)], OPSETS)
    assert found == told if told is None else (found or "").startswith(told)


def test_what_is_not_known_passes():
    op, x = NodeBuilder("m"), value(unranked=True)
    assert changed([value(2, 3)], [op.Relu(x)], OPSETS) is None
    assert changed([value(unranked=True)], [op.Unsqueeze(value(2), [0])], OPSETS) is None
    assert changed([value(2, 3)], [op.Relu(value(2, 3, dtype=None))], OPSETS) is None
    assert changed([value(2, 3, dtype=None)], [op.Cast(value(2, 3), to=7)], OPSETS) is None


def test_the_output_at_fault_is_told():
    op, x = NodeBuilder("m"), value(2, 4)
    both = op.Split(x, [2, 2], axis=1, outputs=2)
    assert (
        changed([value(2, 2), value(2, 3)], both, OPSETS)
        == "changes the size of output 1 on axis 1 from 3 to 2"
    )
