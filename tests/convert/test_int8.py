"""Conversions in 8 bits: what is in them, that every tensor is accounted for, and how near the logits are."""

from __future__ import annotations

import numpy as np
import onnx
import onnx.numpy_helper
import onnxruntime
import pytest

from vampconv.convert import Request, convert
from vampconv.errors import UsageError

from ..common import ROOT, manifest

TRAINED = ROOT / "fixtures" / "trained"
COARSE, CODEC = TRAINED / "coarse.pth", TRAINED / "codec.pth"
LINEARS = ("self_attn.w_qs", "self_attn.w_ks", "self_attn.w_vs", "self_attn.fc")
LINEARS += ("feed_forward.w_1", "feed_forward.w_2")
PRODUCTS = {f"transformer.layers.{i}.{name}" for i in range(4) for name in LINEARS} | {"classifier.layers.0"}


def converted(output, **options):
    convert(Request([COARSE], output, codec=CODEC, **{"precision": "int8", **options}))
    return output


@pytest.fixture(scope="module")
def exact(tmp_path_factory):
    return converted(tmp_path_factory.mktemp("fp32") / "out", precision="fp32")


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return converted(tmp_path_factory.mktemp("int8") / "out")


def loaded(bundle, part="coarse"):
    return onnx.load(bundle / f"{part}.onnx")


def module_of(node):
    return next(p.value for p in node.metadata_props if p.key == "vampconv.module")


def quantized(bundle):
    return {module_of(n) for n in loaded(bundle).graph.node if n.op_type == "MatMulInteger"}


def logits(bundle, codes):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        bundle / "coarse.onnx", options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"codes": codes})[0].astype(np.float64)


def divergence(truth, found):
    """Kullback-Leibler divergence of every row, in nats."""
    p, q = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in (truth, found))
    return (np.exp(p) * (p - q)).sum(-1)


def test_every_product_with_a_weight_but_the_embedding_is_in_8_bits(small):
    assert quantized(small) == PRODUCTS
    facts = manifest(small)["models"]
    assert facts["coarse"]["precision"] == "int8"
    assert facts["coarse"]["kept"] == ["embedding.out_proj"]
    weights = [w for w in loaded(small).graph.initializer if w.data_type == onnx.TensorProto.INT8 and w.dims]
    assert len([w for w in weights if len(w.dims) == 2]) == len(PRODUCTS)


def test_the_codec_stays_in_float32(tmp_path):
    request = Request([CODEC], tmp_path / "out", precision="int8", dry_run=True)
    conversion = convert(request)
    assert {e["precision"] for e in conversion.manifest["models"].values()} == {"fp32"}
    assert conversion.notes == ("encoder stays in fp32", "decoder stays in fp32")


def test_every_tensor_is_accounted_for(small, exact):
    for one, other in zip(manifest(small)["checkpoints"], manifest(exact)["checkpoints"], strict=True):
        fates = {t["name"]: t["fate"] for t in one["tensors"]}
        assert fates == {t["name"]: t["fate"] for t in other["tensors"]}
        assert set(fates.values()) <= {"used", "shared", "not requested"}


def test_weights_are_the_nearest_of_127_steps(small, exact):
    """Each column, by the definition, from the weights in float32."""
    rows = {r["name"]: r["from"] for r in manifest(small)["models"]["coarse"]["initializers"]}
    found = {
        w.name: onnx.numpy_helper.to_array(w) for w in loaded(small).graph.initializer if len(w.dims) == 2
    }
    truth = {
        w.name: onnx.numpy_helper.to_array(w) for w in loaded(exact).graph.initializer if len(w.dims) == 2
    }
    sources = {tuple(r["from"]): r["name"] for r in manifest(exact)["models"]["coarse"]["initializers"]}
    compared = 0
    for name, matrix in found.items():
        if matrix.dtype == np.int8:
            weight = truth[sources[tuple(rows[name])]].astype(np.float64)
            steps = weight / np.abs(weight).max(0) * 127
            assert np.abs(steps - matrix).max() <= 0.5 + 1e-4
            assert (np.abs(matrix).max(0) == 127).all()
            compared += 1
    assert compared == len(PRODUCTS)


@pytest.mark.parametrize("shape", [(1, 1), (1, 90), (3, 17)])
def test_the_distributions_are_near_those_in_float32(small, exact, shape):
    codes = np.random.default_rng(0).integers(0, 257, (shape[0], 2, shape[1]))
    assert divergence(logits(exact, codes), logits(small, codes)).mean() < 1e-3


def test_a_kept_module_stays_as_it_is(tmp_path, exact):
    kept = converted(tmp_path / "kept", keep=["*.w_2", "coarse/transformer.layers.1.self_attn", "classifier"])
    gone = {p for p in PRODUCTS if p.endswith(".w_2") or p.startswith(("transformer.layers.1.self", "class"))}
    assert quantized(kept) == PRODUCTS - gone
    assert set(manifest(kept)["models"]["coarse"]["kept"]) == gone | {"embedding.out_proj"}
    everything = converted(tmp_path / "all", keep=["*"])
    assert quantized(everything) == set()
    assert (everything / "coarse.onnx.data").read_bytes() == (exact / "coarse.onnx.data").read_bytes()


@pytest.mark.parametrize("pattern", ["c2f/*", "transformer.layers.4"])
def test_a_pattern_that_keeps_nothing_is_an_error(tmp_path, pattern):
    with pytest.raises(UsageError, match="nothing that int8 would change is called"):
        converted(tmp_path / "out", keep=["*.w_2", pattern])
    assert not (tmp_path / "out").exists()


def test_the_same_bytes_again(tmp_path, small):
    again = converted(tmp_path / "again")
    assert {p.name: p.read_bytes() for p in again.iterdir()} == {
        p.name: p.read_bytes() for p in small.iterdir()
    }
