"""Nothing that is valid ONNX is refused, and what is not known comes out as it went in."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from vampconv.errors import UnsupportedModelError
from vampconv.optimize import Request, optimize

from . import models, valid
from .running import optimized, random_feeds, same_numbers

KINDS = {TensorProto.FLOAT: np.float32, TensorProto.DOUBLE: np.float64, TensorProto.FLOAT16: np.float16}


def feeds_of(proto):
    kinds = {i.name: i.type.tensor_type.elem_type for i in proto.graph.input}
    drawn = {n: x.astype(KINDS.get(kinds[n], np.float32)) for n, x in random_feeds(proto).items()}
    return drawn | ({"shape": np.array([1, 3, 4])} if "shape" in kinds else {})


@pytest.mark.parametrize("name", valid.VALID)
def test_a_valid_model_is_taken(tmp_path, name):
    proto = valid.VALID[name]()
    onnx.checker.check_model(proto, full_check=True)
    found, result = optimized(proto, tmp_path)
    assert found.rules == {}
    for side in ("input", "output"):
        assert [v.SerializeToString() for v in getattr(result.graph, side)] == [
            v.SerializeToString() for v in getattr(proto.graph, side)
        ]
    assert result.functions == proto.functions
    same_numbers(tmp_path, feeds_of(proto), exactly=True)


def test_training_information_is_kept(tmp_path):
    proto = valid.with_training()
    found, result = optimized(proto, tmp_path)
    assert found.notes == ["left as it is: it holds training information"]
    assert result == proto


@pytest.mark.parametrize(("opset", "ir_version"), valid.OLD)
def test_an_old_model_is_taken(tmp_path, opset, ir_version):
    proto = valid.old(opset, ir_version)
    found, result = optimized(proto, tmp_path)
    assert result == proto
    assert "rules are for 13" in found.notes[0]
    same_numbers(tmp_path, {"x": np.eye(2, 3, dtype=np.float32)}, exactly=True)
    found, result = optimized(proto, tmp_path, opset=17)
    assert (found.opset, found.notes) == (17, [])
    same_numbers(tmp_path, {"x": np.eye(2, 3, dtype=np.float32)})


def test_a_change_of_opset_keeps_what_it_can_and_refuses_what_it_would_lose(tmp_path):
    proto = models.with_function()
    note = proto.graph.quantization_annotation.add(tensor_name="x")
    note.quant_parameter_tensor_names.add(key="SCALE_TENSOR", value="scale")
    proto.graph.node.append(helper.make_node("Neg", ["y"], ["z"]))
    proto.graph.output[0].name = "z"
    proto.graph.node[1].metadata_props.add(key="from", value="here")
    _, result = optimized(proto, tmp_path, opset=20)
    assert [n.op_type for n in result.graph.node] == ["Mul", "Add", "Neg"]
    assert result.graph.node[2].metadata_props[0].value == "here"
    assert [a.tensor_name for a in result.graph.quantization_annotation] == ["x"]
    same_numbers(tmp_path, random_feeds(proto), exactly=True)
    proto.training_info.add()
    (tmp_path / "in.onnx").write_bytes(proto.SerializeToString())
    with pytest.raises(UnsupportedModelError, match="training information"):
        optimize(Request(tmp_path / "in.onnx", tmp_path / "new.onnx", opset=20))
