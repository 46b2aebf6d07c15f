"""``vampconv inspect BUNDLE --check``."""

from __future__ import annotations

import hashlib
import json
import os
import shutil

import pytest

from ..common import LINE, manifest


@pytest.fixture
def bundle(workshop, tmp_path):
    return shutil.copytree(workshop.bundle("coarse", "c2f", "codec"), tmp_path / "bundle")


def test_what_is_as_it_was_written(vampconv, bundle):
    ran = vampconv("inspect", bundle, "--check", "--json")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    assert found["as_written"] is True
    assert {f["file"]: (f["state"], f["bytes"], f["sha256"]) for f in found["files"]} == {
        p.name: ("as written", p.stat().st_size, hashlib.sha256(p.read_bytes()).hexdigest())
        for p in bundle.iterdir()
        if p.name != "vampconv.json"
    }
    digest = hashlib.sha256((bundle / "vampconv.json").read_bytes()).hexdigest()
    assert found["manifest_sha256"] == digest
    ran = vampconv("inspect", bundle, "--check")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.count("as written") == len(found["files"])
    assert digest in ran.out


def edit(bundle):
    data = bytearray((bundle / "coarse.onnx.data").read_bytes())
    data[5000] ^= 1
    (bundle / "coarse.onnx.data").write_bytes(data)


def swap(bundle):
    (bundle / "coarse.onnx").rename(bundle / "x")
    (bundle / "c2f.onnx").rename(bundle / "coarse.onnx")
    (bundle / "x").rename(bundle / "c2f.onnx")


def link(bundle):
    (bundle / "coarse.onnx").rename(bundle.parent / "coarse.onnx")
    (bundle / "coarse.onnx").symlink_to(bundle.parent / "coarse.onnx")


def pipe(bundle):
    (bundle / "coarse.onnx").unlink()
    os.mkfifo(bundle / "coarse.onnx")


def relist(change):
    def damage(bundle):
        content = manifest(bundle)
        change(content["files"])
        (bundle / "vampconv.json").write_text(json.dumps(content))

    return damage


DAMAGES = {
    "edited": (edit, {"coarse.onnx.data": "was changed"}),
    "swapped": (
        swap,
        {"coarse.onnx": "is what c2f.onnx should be", "c2f.onnx": "is what coarse.onnx should be"},
    ),
    "of another bundle": (
        lambda b: shutil.copy(b / "vamp.onnx", b / "vamp_c2f.onnx"),
        {"vamp_c2f.onnx": "is what vamp.onnx should be"},
    ),
    "cut": (lambda b: os.truncate(b / "c2f.onnx", 100), {"c2f.onnx": "was changed"}),
    "empty": (lambda b: os.truncate(b / "c2f.onnx", 0), {"c2f.onnx": "was changed"}),
    "longer": (
        lambda b: (b / "c2f.onnx").write_bytes((b / "c2f.onnx").read_bytes() + b"\0"),
        {"c2f.onnx": "was changed"},
    ),
    "missing": (lambda b: (b / "c2f.onnx.data").unlink(), {"c2f.onnx.data": "is missing"}),
    "extra": (lambda b: (b / "decoder.onnx").write_bytes(b"x"), {"decoder.onnx": "is no part of it"}),
    "extra, hidden": (lambda b: (b / ".x").touch(), {".x": "is no part of it"}),
    "extra, deeper": (lambda b: (b / "a/b").mkdir(parents=True), {"a/b": "is no part of it"}),
    "a link": (link, {"coarse.onnx": "is a link"}),
    "a directory": (
        lambda b: ((b / "c2f.onnx").unlink(), (b / "c2f.onnx").mkdir()),
        {"c2f.onnx": "cannot be read"},
    ),
    "a pipe": (pipe, {"coarse.onnx": "cannot be read"}),
    "no hash": (
        relist(lambda files: files["c2f.onnx"].pop("sha256")),
        {"c2f.onnx": "has no hash in the manifest"},
    ),
    "outside": (
        relist(lambda files: files.update({"../secret": files["c2f.onnx"]})),
        {"../secret": "is named by the manifest, and is no file of a bundle"},
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_not(vampconv, bundle, damage):
    make, wanted = DAMAGES[damage]
    make(bundle)
    ran = vampconv("inspect", bundle, "--check", "--json")
    assert ran.code == 6
    assert LINE.fullmatch(ran.err), ran.err
    found = json.loads(ran.out)
    assert found["as_written"] is False
    wrong = {f["file"]: f["state"] for f in found["files"] if f["state"] != "as written"}
    assert wrong.keys() >= wanted.keys()
    assert all(wrong[name].startswith(state) for name, state in wanted.items())
    assert wrong.keys() <= wanted.keys() | {"c2f.onnx"}
    assert next(iter(wrong)) in ran.err
    text = vampconv("inspect", bundle, "--check")
    assert text.code == 6
    assert all(state in text.out for state in wanted.values())


def test_what_cannot_be_checked(vampconv, workshop, bundle):
    for arguments, code, told in (
        ((workshop.golden / "coarse.pth", "--check"), 2, "is not a bundle"),
        ((bundle, "--check", "--run"), 2, "two things"),
        ((workshop.golden, "--check"), 6, "is not a bundle"),
    ):
        ran = vampconv("inspect", *arguments)
        assert (ran.code, ran.out) == (code, "")
        assert told in ran.err
    (bundle / "vampconv.json").write_text("{")
    ran = vampconv("inspect", bundle, "--check")
    assert (ran.code, ran.out) == (6, "")
    assert LINE.fullmatch(ran.err)
