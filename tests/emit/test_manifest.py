"""``vampconv.json`` tells the truth, and depends on the inputs alone."""

from __future__ import annotations

import hashlib
import shutil
import time
import zipfile
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest

import vampconv
from vampconv.convert import Request, convert
from vampconv.convert.labels import unique_labels
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError

from ..common import manifest


@pytest.fixture
def bundle(workshop):
    return workshop.bundle("coarse", "c2f", "codec")


def test_versions_and_facts(bundle):
    content = manifest(bundle)
    assert content["format"] == 1
    assert content["vampconv"] == vampconv.__version__
    assert content["versions"] == {n: version(n) for n in ("numpy", "onnx", "onnx-ir", "onnxscript")}
    assert (content["sample_rate"], content["hop"]) == (44100, 768)
    assert content["chunk_seconds"] == {"coarse": 10, "c2f": 3}


def test_files_and_their_hashes(bundle):
    content = manifest(bundle)
    there = {p.name for p in bundle.iterdir()} - {"vampconv.json"}
    wanted = {f"{p}.onnx{s}" for p in ("coarse", "c2f") for s in ("", ".data")}
    wanted |= {f"{p}{s}.onnx" for p in ("vamp", "vamp_c2f") for s in ("", "_replay")}
    assert set(content["files"]) == there == wanted
    for name, entry in content["files"].items():
        data = (bundle / name).read_bytes()
        assert entry == {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    for part, entry in content["models"].items():
        assert (entry["file"], entry["data"]) == (f"{part}.onnx", [f"{part}.onnx.data"])


def test_checkpoints_and_their_hashes(workshop, bundle):
    for entry in manifest(bundle)["checkpoints"]:
        path = workshop.golden / entry["file"]
        data = path.read_bytes()
        assert entry["sha256"] == hashlib.sha256(data).hexdigest()
        assert entry["bytes"] == len(data)
        assert entry["format"] == "torch.save"
        state = workshop.load(path.stem)["state_dict"]
        crcs = {f"{info.CRC:08x}" for info in zipfile.ZipFile(path).infolist()}
        for tensor in entry["tensors"]:
            assert tensor["shape"] == list(state[tensor["name"]].shape)
            assert tensor["dtype"] == str(state[tensor["name"]].dtype).removeprefix("torch.")
            assert tensor["crc32"] in crcs


@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_models_are_as_described(workshop, bundle, part):
    entry = manifest(bundle)["models"][part]
    model = onnx.load(bundle / f"{part}.onnx")
    assert entry["opset"] == 17 == model.opset_import[0].version
    assert entry["ir_version"] == model.ir_version
    assert entry["nodes"] == len(model.graph.node)
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    for row in entry["initializers"]:
        array = stored[row["name"]]
        assert (row["shape"], row["dtype"]) == (list(array.shape), str(array.dtype))
        assert array.dtype == np.float32
    unlisted = stored.keys() - {row["name"] for row in entry["initializers"]}
    assert sum(stored[name].size for name in unlisted) < 300  # numbers that the rules wrote, no weights
    kwargs = workshop.load(part)["metadata"]["kwargs"]
    for key, value in entry["architecture"].items():
        if key in kwargs:
            assert (kwargs[key] or type(value)()) == value, key
    assert sum(entry["rules"].values()) > 0


def test_every_weight_equals_its_expression(workshop, bundle):
    """For weights that are one tensor, or a transposed one, bit by bit."""
    state = workshop.load("coarse")["state_dict"]
    model = onnx.load(bundle / "coarse.onnx")
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in model.graph.initializer}
    compared = 0
    for row in manifest(bundle)["models"]["coarse"]["initializers"]:
        source = row["from"][0].removeprefix("coarse.pth:")
        if (
            len(row["from"]) == 1
            and source in state
            and row["expression"] in (source, f"Transpose({source})")
        ):
            tensor = state[source].numpy()
            wanted = tensor.T if row["expression"].startswith("Transpose") else tensor
            assert np.array_equal(stored[row["name"]], wanted), source
            compared += 1
    assert compared >= 10


def test_text_is_utf8_json_with_a_newline(bundle):
    data = (bundle / "vampconv.json").read_bytes()
    assert data.endswith(b"}\n")
    assert not data.startswith(b"\xef")
    data.decode("utf-8")


def test_independent_of_path_time_and_directory(workshop, tmp_path, monkeypatch):
    *paths, _ = workshop.all_kinds()
    wanted = (workshop.bundle(*paths) / "vampconv.json").read_bytes()
    place = tmp_path / "elsewhere"
    place.mkdir()
    for path in paths:
        shutil.copy(path, place)
    monkeypatch.chdir(place)
    monkeypatch.setattr(time, "time", lambda: 1e9)
    convert(Request([place / "codec.pth", place / "coarse.pth"], tmp_path / "a"))
    convert(Request([Path("coarse.pth"), Path("codec.pth")], tmp_path / "b"))
    convert(Request([tmp_path / "a/../elsewhere/coarse.pth", place / "codec.pth"], tmp_path / "c"))
    convert(Request([place], tmp_path / "d"))
    for name in "abcd":
        assert (tmp_path / name / "vampconv.json").read_bytes() == wanted
        assert b"elsewhere" not in wanted


def test_a_renamed_checkpoint_changes_its_label_only(workshop, golden_copy, tmp_path):
    place = golden_copy("coarse", "codec")
    (place / "coarse.pth").rename(place / "größe 音.pth")
    convert(Request([place / "größe 音.pth"], tmp_path / "out"))
    renamed = (tmp_path / "out" / "vampconv.json").read_text(encoding="utf-8")
    assert renamed.replace("größe 音.pth", "coarse.pth") == (
        workshop.bundle("coarse", "codec") / "vampconv.json"
    ).read_text(encoding="utf-8")
    for name in ("coarse.onnx", "coarse.onnx.data"):
        assert (tmp_path / "out" / name).read_bytes() == (
            workshop.bundle("coarse", "codec") / name
        ).read_bytes()


def test_equal_names_in_different_folders(workshop, tmp_path):
    names = {"coarse": "a/model.pth", "c2f": "b/model.pth", "codec": "b/c/model.pth"}
    for name, path in names.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(workshop.golden / f"{name}.pth", tmp_path / path)
    convert(Request([tmp_path / p for p in names.values()], tmp_path / "out"))
    content = manifest(tmp_path / "out")
    labels = [c["file"] for c in content["checkpoints"]]
    assert labels == ["a/model.pth", "b/model.pth", "c/model.pth"]
    sources = {
        s.partition(":")[0] for e in content["models"].values() for r in e["initializers"] for s in r["from"]
    }
    assert sources == set(labels)


def test_labels(tmp_path):
    paths = [tmp_path / p for p in ("x/a/m", "x/b/m", "y/a/m")]
    assert unique_labels(paths) == ["x/a/m", "x/b/m", "y/a/m"]
    assert unique_labels([tmp_path / "x/a", tmp_path / "x/b"]) == ["a", "b"]
    assert unique_labels([tmp_path / "x/a", tmp_path / "x/a"]) == ["a", "a"]
    assert unique_labels([tmp_path / "m\udcff"]) == [r"m\xff"]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (None, "not a bundle"),
        ("", "cannot be read"),
        ("{", "cannot be read"),
        ("[]", "not a manifest of format 1"),
        ('{"format": 2}', "not a manifest of format 1"),
        ('{"format": 1}', "damaged: it has no models"),
        ('{"format": 1, "models": {}, "checkpoints": {}, "files": {}}', "damaged: it has no checkpoints"),
        (b"\xff\xfe", "cannot be read"),
    ],
)
def test_a_damaged_manifest(tmp_path, text, told):
    if text is not None:
        (tmp_path / "vampconv.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputOutputError, match=told):
        read_manifest(tmp_path)
