"""The target ``ort``: what ONNX Runtime adds is used, and changes no result."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest

from vampconv.convert import Request, convert
from vampconv.runtime import VampNet

from ..common import ROOT, graphs, manifest

TRAINED = ROOT / "fixtures" / "trained"


@pytest.fixture(scope="module", params=["fp32", "int8"])
def bundles(request, tmp_path_factory):
    """The same part for both targets."""
    root = tmp_path_factory.mktemp(request.param)
    files = {"paths": [TRAINED / "coarse.pth"], "codec": TRAINED / "codec.pth"}
    for target in ("portable", "ort"):
        convert(Request(**files, output=root / target, target=target, precision=request.param))
    return root


def domains(model):
    return Counter(f"{n.domain}.{n.op_type}" for g in graphs(model.graph) for n in g.node if n.domain)


@pytest.mark.parametrize("name", ["coarse", "vamp", "vamp_replay"])
def test_its_operators_are_in_every_graph_of_the_bundle_and_imported(bundles, name):
    model, plain = (onnx.load(bundles / target / f"{name}.onnx") for target in ("ort", "portable"))
    assert domains(model) == {"com.microsoft.MultiHeadAttention": 4, "com.microsoft.FastGelu": 4}
    assert {o.domain: o.version for o in model.opset_import}["com.microsoft"] == 1
    assert domains(plain) == {}
    assert {o.domain for o in plain.opset_import} == {""}
    onnx.checker.check_model(str(bundles / "ort" / f"{name}.onnx"))
    assert manifest(bundles / "ort")["models"]["coarse"]["target"] == "ort"


def run(path, codes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return session.run(None, {"codes": codes})[0]


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (3, 17)])
def test_the_logits_are_the_same(bundles, shape):
    codes = np.random.default_rng(0).integers(0, 257, (shape[0], 2, shape[1]))
    found, wanted = (run(bundles / target / "coarse.onnx", codes) for target in ("ort", "portable"))
    assert found.shape == (shape[0], shape[1] * 2, 256)
    share = 1e-5 if "fp32" in bundles.name else 1e-2
    assert np.linalg.norm(found - wanted) < share * np.linalg.norm(wanted)


def test_its_bundle_plays(bundles):
    codes = np.random.default_rng(1).integers(0, 256, (1, 4, 30))
    made = VampNet(bundles / "ort", threads=1).generate("coarse", codes[:, :2], noise=3)
    assert made.shape == (1, 2, 30)
    assert ((made >= 0) & (made < 256)).all()


def test_every_value_has_a_shape(bundles):
    model = onnx.load(bundles / "ort" / "coarse.onnx")
    values = (*model.graph.value_info, *model.graph.output)
    known = {v.name for v in values if v.type.tensor_type.HasField("shape")}
    assert {o for n in model.graph.node for o in n.output} <= known
