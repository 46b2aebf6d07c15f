"""Shape inference: every value gets its type and shape, and no weight is read for it."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.dialect import NodeBuilder
from vampconv.errors import PluginError
from vampconv.passes.shapes import infer_shapes

FLOAT = ir.TensorType(ir.DataType.FLOAT)


def unread(name, *shape):
    """A weight that must not be read."""

    def read():
        raise AssertionError(f"{name} was read")

    tensor = ir.LazyTensor(read, ir.DataType.FLOAT, ir.Shape(shape), name=name)
    return ir.Value(name=name, shape=tensor.shape, type=FLOAT, const_value=tensor)


def built(op, inputs, outputs, weights=()):
    for index, output in enumerate(outputs):
        output.name = output.name or f"y{index}"
        output.type = output.type or FLOAT
    for index, constant in enumerate(op.constants):
        constant.name = f"c{index}"
    graph = ir.Graph(
        inputs,
        outputs,
        nodes=op.nodes,
        initializers=[*weights, *op.constants],
        opset_imports={"": 17},
        name="g",
    )
    return ir.Model(graph, ir_version=10)


def x():
    return ir.Value(name="x", shape=ir.Shape(("batch", "time", 4)), type=FLOAT)


def dims(value):
    return [d if isinstance(d, int) else d.value for d in value.shape]


def test_types_and_shapes_without_reading_a_weight():
    op, start, weight = NodeBuilder("m"), x(), unread("w", 4, 6)
    product = op.MatMul(start, weight)
    halves = op.Split(op.Reshape(product, [0, 0, 2, 3]), [1, 2], axis=3, outputs=2)
    long = op.Cast(halves[0], to=7)
    model = built(op, [start], [op.Relu(halves[1])], [weight])
    infer_shapes(model)
    assert dims(product) == ["batch", "time", 6]
    assert [dims(h) for h in halves] == [["batch", "time", 2, 1], ["batch", "time", 2, 2]]
    assert (long.dtype, halves[0].dtype) == (ir.DataType.INT64, ir.DataType.FLOAT)
    assert dims(model.graph.outputs[0]) == ["batch", "time", 2, 2]


def test_the_graph_is_otherwise_as_it_was():
    op, start, weight = NodeBuilder("m"), x(), unread("w", 4, 6)
    model = built(op, [start], [op.Add(op.MatMul(start, weight), 1.0), weight], [weight])
    before = [v.name for v in model.graph.inputs], list(model.graph.initializers)
    infer_shapes(model)
    assert (
        ([v.name for v in model.graph.inputs], list(model.graph.initializers))
        == before
        == (["x"], ["w", "c0"])
    )
    assert model.graph.outputs[1] is weight
    assert weight.is_initializer()
    assert not weight.is_graph_input()


def test_an_ill_typed_graph_is_told_and_left_whole():
    op, start, weight = NodeBuilder("m"), x(), unread("w", 5, 6)
    model = built(op, [start], [op.MatMul(start, weight)], [weight])
    with pytest.raises(PluginError, match=r"the rules made an ill-typed graph: .*MatMul"):
        infer_shapes(model)
    assert list(model.graph.initializers) == ["w"]
    assert [v.name for v in model.graph.inputs] == ["x"]


def test_what_is_declared_must_agree_with_what_is_inferred():
    op, start = NodeBuilder("m"), x()
    doubled = op.Concat(start, start, axis=2)
    doubled.type, doubled.shape = FLOAT, ir.Shape(("batch", "time", 4))
    with pytest.raises(PluginError, match="ill-typed"):
        infer_shapes(built(op, [start], [doubled]))
    op, start = NodeBuilder("m"), x()
    whole = op.Add(start, np.float32(1))
    whole.type, whole.shape = ir.TensorType(ir.DataType.INT64), start.shape
    with pytest.raises(PluginError, match="ill-typed"):
        infer_shapes(built(op, [start], [whole]))
