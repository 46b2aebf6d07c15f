"""How ops are declared, and how graphs of them are written."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.dialect import DOMAIN, OPS, NodeBuilder, Op, vamp


@pytest.fixture
def registry(monkeypatch):
    monkeypatch.setattr("vampconv.dialect.op.OPS", copy := dict(OPS))
    return copy


def test_a_second_op_of_one_name_is_refused(registry):
    with pytest.raises(ValueError, match=r"vamp\.RMSNorm is already defined in vampconv\.dialect\.norm"):
        type("RMSNorm", (Op,), {})
    assert registry == OPS


def test_an_op_registers_itself_by_its_name(registry):
    fresh = type("Fresh", (Op,), {})
    assert registry["Fresh"] is fresh
    assert "Fresh" not in OPS


def test_every_op_declares_shape_meaning_and_where_it_comes_from():
    for name, op in OPS.items():
        assert op.__name__ == name
        assert callable(op.shape)
        assert callable(op.meaning)
        assert "->" in (op.__doc__ or "")


def test_importing_the_dialect_imports_neither_torch_nor_the_rules():
    program = (
        "import sys, vampconv.dialect; print([m for m in ('torch', 'vampconv_rules') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def known(name, *shape):
    return ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(ir.DataType.FLOAT))


def test_a_node_carries_its_module_shape_and_type():
    op = NodeBuilder("transformer.norm")
    value = vamp(op).RMSNorm(known("x", "batch", "time", 4), known("weight", 4), eps=1e-6)
    assert (op.nodes[0].domain, op.nodes[0].op_type) == (DOMAIN, "RMSNorm")
    assert op.nodes[0].metadata_props["vampconv.module"] == "transformer.norm"
    assert [getattr(d, "value", d) for d in value.shape] == ["batch", "time", 4]
    assert value.dtype == ir.DataType.FLOAT


def test_a_misfit_names_the_op():
    with pytest.raises(ValueError, match=r"vamp\.RMSNorm: weight \(5,\) does not fit"):
        vamp(NodeBuilder()).RMSNorm(known("x", 2, 4), known("weight", 5), eps=1e-6)


def test_shapes_stay_unknown_where_an_input_is_unknown():
    value = vamp(NodeBuilder()).RMSNorm(ir.Value(name="x"), known("weight", 5), eps=1e-6)
    assert value.shape is None
    assert value.dtype == ir.DataType.FLOAT


@pytest.mark.parametrize(
    ("written", "dtype", "shape"),
    [
        (1.5, np.float32, ()),
        (7, np.int64, ()),
        ([1, 2], np.int64, (2,)),
        (np.float64([1, 2]), np.float64, (2,)),
        (np.zeros((2, 3), np.float16), np.float16, (2, 3)),
    ],
)
def test_numbers_become_constants(written, dtype, shape):
    op = NodeBuilder()
    op.Add(known("x", 2), written)
    (constant,) = op.constants
    assert constant.const_value.numpy().dtype == dtype
    assert constant.const_value.numpy().shape == shape


def test_several_outputs_and_missing_inputs():
    op = NodeBuilder()
    first, second = op.Split(known("x", 4), [2, 2], axis=0, outputs=2)
    assert first.producer() is second.producer()
    op.Clip(first, None, 1.0)
    assert op.nodes[1].inputs[1] is None


def test_private_names_are_no_ops():
    with pytest.raises(AttributeError):
        _ = NodeBuilder()._repr_html_
