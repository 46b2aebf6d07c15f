"""``vampconv inspect BUNDLE``."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest

from ..common import LINE


@pytest.fixture
def bundle(workshop):
    return workshop.bundle("coarse", "c2f", "codec")


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "bundle")


def test_json_is_the_manifest_with_statistics(vampconv, bundle):
    ran = vampconv("inspect", bundle, "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out, parse_constant=pytest.fail)
    for part in ("coarse", "c2f"):
        stored = {
            t.name: onnx.numpy_helper.to_array(t).astype(np.float64)
            for t in onnx.load(bundle / f"{part}.onnx").graph.initializer
        }
        for row in found["models"][part]["initializers"]:
            array, told = stored[row["name"]], row.pop("statistics")
            wanted = (array.min(), array.max(), array.mean(), array.std())
            assert [told[k] for k in ("min", "max", "mean", "std")] == pytest.approx(wanted, rel=1e-9)
            assert told["non_finite"] == 0
    assert found == json.loads((bundle / "vampconv.json").read_text())


def test_text(vampconv, bundle):
    ran = vampconv("inspect", bundle)
    assert (ran.code, ran.err) == (0, "")
    for told in ("coarse.onnx", "c2f.onnx", "MergeLoRA × 15", "62 of 62: 62 used", "44 of 44", "Transpose("):
        assert told in ran.out


@pytest.mark.parametrize("name", ["coarse", "c2f", "coarse_ctrl", "coarse_film"])
def test_run(vampconv, workshop, name):
    bundle = workshop.bundle(name, "codec")
    ran = vampconv("inspect", bundle, "--run", "--json")
    assert (ran.code, ran.err) == (0, "")
    runs = json.loads(ran.out)
    runs = runs["runs"] if isinstance(runs, dict) else runs
    assert {(r["input"][0], r["input"][2]) for r in runs} == {(1, 1), (1, 100), (3, 13)}
    for row in runs:
        batch, codebooks, time = row["input"]
        predicted = 10 if name == "c2f" else codebooks
        is_loop = row["file"].startswith("vamp")
        assert row["output"] == (row["input"] if is_loop else [batch, time * predicted, 64])
        assert row["finite"] is True
        assert row["milliseconds"] >= 0
    text = vampconv("inspect", bundle, "--run").out
    assert text.count(".onnx") >= 3
    assert "yes" in text


def test_weights_that_are_not_finite_are_seen(vampconv, copy):
    path = copy / "coarse.onnx.data"
    data = bytearray(path.read_bytes())
    data[4096:4100] = np.float32(np.nan).tobytes()
    path.write_bytes(data)
    found = json.loads(vampconv("inspect", copy, "--json").out)
    counts = [r["statistics"]["non_finite"] for r in found["models"]["coarse"]["initializers"]]
    assert sum(counts) == 1
    data[:] = np.full(len(data) // 4, np.nan, np.float32).tobytes()
    path.write_bytes(data)
    assert "NO" in vampconv("inspect", copy, "--run").out


def drop_a_weight(bundle):
    model = onnx.load(bundle / "coarse.onnx", load_external_data=False)
    sizes = [np.prod(t.dims) for t in model.graph.initializer]
    del model.graph.initializer[int(np.argmax(sizes))]
    (bundle / "coarse.onnx").write_bytes(model.SerializeToString())


def change_manifest(change):
    def damage(bundle):
        content = json.loads((bundle / "vampconv.json").read_text())
        change(content["models"]["coarse"])
        (bundle / "vampconv.json").write_text(json.dumps(content))

    return damage


DAMAGES = {
    "a model outside": change_manifest(lambda entry: entry.update(file="../coarse.onnx")),
    "a model that is not listed": change_manifest(lambda entry: entry.update(file="other.onnx")),
    "data outside": change_manifest(lambda entry: entry.update(data=["/etc/passwd"])),
    "an incomplete entry": change_manifest(lambda entry: entry.pop("inputs")),
    "no manifest": lambda b: (b / "vampconv.json").unlink(),
    "empty manifest": lambda b: (b / "vampconv.json").write_text(""),
    "manifest of something else": lambda b: (b / "vampconv.json").write_text("{}"),
    "manifest without models": lambda b: (b / "vampconv.json").write_text('{"format": 1}'),
    "no model": lambda b: (b / "coarse.onnx").unlink(),
    "half a model": lambda b: (b / "coarse.onnx").write_bytes((b / "coarse.onnx").read_bytes()[:3000]),
    "random model": lambda b: (b / "coarse.onnx").write_bytes(b"\xff" * 3000),
    "no data": lambda b: (b / "coarse.onnx.data").unlink(),
    "empty data": lambda b: (b / "coarse.onnx.data").write_bytes(b""),
    "half the data": lambda b: (b / "coarse.onnx.data").write_bytes(
        (b / "coarse.onnx.data").read_bytes()[:9000]
    ),
    "a weight less": drop_a_weight,
}


@pytest.mark.parametrize("extra", [[], ["--json"], ["--run"]])
@pytest.mark.parametrize("damage", DAMAGES)
def test_damaged_bundles(vampconv, copy, damage, extra):
    DAMAGES[damage](copy)
    ran = vampconv("inspect", copy, *extra)
    assert ran.code == 6, ran.err
    assert ran.out == ""
    assert LINE.fullmatch(ran.err), ran.err


def test_a_directory_that_is_no_bundle(vampconv, workshop):
    ran = vampconv("inspect", workshop.golden)
    assert ran.code == 6
    assert "not a bundle" in ran.err


def test_a_data_file_that_the_runtime_may_not_read(vampconv, copy):
    """ONNX Runtime has an exception of its own for it."""
    (copy / "coarse.onnx.data").unlink()
    (copy / "coarse.onnx.data").mkdir()
    ran = vampconv("inspect", copy, "--run")
    assert ran.code == 6
    assert LINE.fullmatch(ran.err)
