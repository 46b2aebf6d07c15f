"""Conversions in float16: what is in them, how near they are, and what float16 cannot hold."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.errors import UnsupportedModelError
from vampconv.verify.result import Verdict
from vampconv.verify.verify import Request as Verification
from vampconv.verify.verify import verify

from ..common import ROOT, manifest
from .test_int8 import divergence, logits

TRAINED = ROOT / "fixtures" / "trained"
COARSE, CODEC = TRAINED / "coarse.pth", TRAINED / "codec.pth"
HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT


def converted(output, checkpoint=COARSE, **options):
    convert(Request([checkpoint], output, codec=CODEC, **{"precision": "fp16", **options}))
    return output


@pytest.fixture(scope="module")
def half(tmp_path_factory):
    return converted(tmp_path_factory.mktemp("fp16") / "out")


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return converted(tmp_path_factory.mktemp("fp32") / "out", precision="fp32")


def with_weight(tmp_path, value):
    """The checkpoint with one number in a weight of a layer."""
    content = torch.load(COARSE, weights_only=True)
    content["state_dict"]["transformer.layers.1.self_attn.fc.weight"][3, 4] = value
    torch.save(content, tmp_path / "coarse.pth")
    return tmp_path / "coarse.pth"


def test_matrices_are_in_float16_and_ports_in_float32(half, exact):
    graph = onnx.load(half / "coarse.onnx").graph
    matrices = {w.name: w for w in graph.initializer if len(w.dims) == 2 and w.data_type in (HALF, FLOAT)}
    wide = {name for name, w in matrices.items() if w.data_type == FLOAT}
    assert all(name.startswith(("embedding.", "quantizer.")) for name in wide)
    assert sum(w.data_type == HALF for w in matrices.values()) >= 4 * 6 + 1
    assert [p.type.tensor_type.elem_type for p in graph.output] == [FLOAT]
    sizes = [(b / "coarse.onnx.data").stat().st_size for b in (half, exact)]
    assert 0.5 < sizes[0] / sizes[1] < 0.56
    assert manifest(half)["models"]["coarse"]["precision"] == "fp16"


def test_nothing_is_narrowed_that_was_just_widened(half):
    graph = onnx.load(half / "coarse.onnx").graph
    makers = {o: n for n in graph.node for o in n.output}
    casts = [n for n in graph.node if n.op_type == "Cast" and n.attribute[0].i == HALF]
    assert casts
    for node in casts:
        above = makers.get(node.input[0])
        assert above is None or above.op_type not in ("Cast", "Transpose", "Reshape")


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (3, 17)])
def test_the_distributions_are_those_in_float32(half, exact, shape):
    codes = np.random.default_rng(0).integers(0, 257, (shape[0], 2, shape[1]))
    truth, found = logits(exact, codes), logits(half, codes)
    assert found.shape == truth.shape
    assert 0 < divergence(truth, found).mean() < 1e-6


def test_every_value_is_verified(half):
    found = verify(Verification(half, [COARSE, CODEC], layerwise=True, lengths=[13], batches=[2]))
    assert found.verdict is Verdict.PASS
    (part,) = found.parts
    assert part.coverage.share > 0.99
    assert max(c.error_ort for c in part.comparisons) > 1e-4


def test_a_weight_that_float16_cannot_hold(tmp_path):
    large = with_weight(tmp_path, 7e4)
    with pytest.raises(
        UnsupportedModelError, match=r"layers\.1\.self_attn\.fc\.weight.* is too large for float16"
    ):
        converted(tmp_path / "out", large)
    assert not (tmp_path / "out").exists()
    kept = converted(tmp_path / "out", large, keep=["transformer.layers.1.self_attn.fc"])
    assert "transformer.layers.1.self_attn.fc" in manifest(kept)["models"]["coarse"]["kept"]


def test_values_that_overflow_are_found(tmp_path):
    """The weights fit, what they make does not: ONNX Runtime's float32 would not show it."""
    large = with_weight(tmp_path, 6.5e4)
    out = converted(tmp_path / "out", large)
    found = verify(Verification(out, [large, CODEC], layerwise=True, lengths=[13], batches=[1]))
    assert found.verdict is Verdict.FAIL
    assert any("inf" in c.problem for part in found.parts for c in part.comparisons)
