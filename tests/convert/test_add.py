"""Replacing a bundle, and adding to one."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import onnx
import pytest

from vampconv.convert import Request, convert
from vampconv.errors import InputOutputError
from vampconv.reference.random_checkpoint import checkpoint, random_codec_tables

from ..common import manifest


def contents(bundle):
    return {p.name: p.read_bytes() for p in bundle.iterdir()}


@pytest.mark.parametrize("order", [("coarse", "c2f"), ("c2f", "coarse")])
def test_in_two_steps_or_in_one(workshop, tmp_path, order):
    codec = workshop.golden / "codec.pth"
    for name in order:
        convert(Request([workshop.golden / f"{name}.pth"], tmp_path / "out", codec, add=True))
    assert contents(tmp_path / "out") == contents(workshop.bundle("coarse", "c2f", "codec"))
    onnx.checker.check_model(str(tmp_path / "out" / "coarse.onnx"), full_check=True)
    for part, codebooks, predicted in (("coarse", 4, 4), ("c2f", 14, 10)):
        feeds = {"codes": np.zeros((1, codebooks, 3), np.int64)}
        shape = workshop.logits(workshop.session(tmp_path / "out", part), feeds).shape
        assert shape == (1, 3 * predicted, 64)


def test_the_same_part_is_replaced(workshop, tmp_path):
    files = [workshop.golden / f"{name}.pth" for name in ("coarse", "c2f", "codec")]
    tune = workshop.golden / "coarse_lora.pth"
    convert(Request(files, tmp_path / "out", loras=[tune]))
    convert(Request([files[0], files[2]], tmp_path / "out", add=True))
    assert contents(tmp_path / "out") == contents(workshop.whole("coarse", "c2f", "codec"))
    convert(Request([files[0], files[2]], tmp_path / "out", add=True, loras=[tune]))
    assert contents(tmp_path / "out") == contents(workshop.whole("coarse", "c2f", "codec", loras=[tune]))
    assert [c["file"] for c in manifest(tmp_path / "out")["checkpoints"]] == [
        "coarse.pth",
        "c2f.pth",
        "coarse_lora.pth",
        "codec.pth",
    ]


def test_every_source_is_still_in_the_ledger(workshop, tmp_path):
    codec = workshop.golden / "codec.pth"
    for name in ("c2f", "coarse_film", "coarse"):
        convert(Request([workshop.golden / f"{name}.pth"], tmp_path / "out", codec, add=True))
        content = manifest(tmp_path / "out")
        uses = {
            (f"{c['file']}:{t['name']}", use)
            for c in content["checkpoints"]
            for t in c["tensors"]
            for use in t.get("uses", [])
        }
        sources = {
            (s, f"{e['file']}:{r['name']}")
            for e in content["models"].values()
            for r in e["initializers"]
            for s in r["from"]
        }
        assert uses == sources
        assert all(t["fate"] for c in content["checkpoints"] for t in c["tensors"])
    assert [c["file"] for c in content["checkpoints"]] == ["coarse.pth", "c2f.pth", "codec.pth"]


def test_files_of_one_name_stay_apart(workshop, tmp_path):
    for name in ("coarse", "c2f"):
        (tmp_path / name).mkdir()
        shutil.copy(workshop.golden / f"{name}.pth", tmp_path / name / "model.pth")
        convert(
            Request(
                [tmp_path / name / "model.pth"],
                tmp_path / "out",
                add=True,
                codec=workshop.golden / "codec.pth",
            )
        )
    content = manifest(tmp_path / "out")
    labels = {c["file"]: c["sha256"] for c in content["checkpoints"]}
    fresh = next(label for label, digest in labels.items() if label.startswith("model.pth#"))
    assert fresh == f"model.pth#{labels[fresh][:8]}"
    assert set(labels) == {"model.pth", fresh, "codec.pth"}
    for part, label in (("coarse", "model.pth"), ("c2f", fresh)):
        sources = [s for r in content["models"][part]["initializers"] for s in r["from"]]
        assert {s.rpartition(":")[0] for s in sources} == {label, "codec.pth"}


def test_another_codec(workshop):
    place = workshop.pair()
    convert(Request([place / "coarse.pth"], place / "out"))
    tables = random_codec_tables(2, 7, 3, 9)
    workshop.save(checkpoint(tables, {}), place / "codec.pth")
    convert(Request([place / "coarse.pth"], place / "out", add=True))
    convert(Request([place / "coarse.pth"], place / "new"))
    again = contents(place / "out")
    assert {n: c for n, c in again.items() if n != "vampconv.json"} == {
        n: c for n, c in contents(place / "new").items() if n != "vampconv.json"
    }
    assert [c["kind"] for c in manifest(place / "out")["checkpoints"]] == ["VampNet transformer", "LAC codec"]


def test_force_replaces_everything(workshop, tmp_path):
    codec = workshop.golden / "codec.pth"
    convert(Request([workshop.golden / "coarse.pth", workshop.golden / "c2f.pth"], tmp_path / "out", codec))
    convert(Request([workshop.golden / "coarse.pth"], tmp_path / "out", codec, force=True))
    assert contents(tmp_path / "out") == contents(workshop.bundle("coarse", "codec"))


def test_adding_to_what_is_no_bundle(workshop, tmp_path):
    request = Request(
        [workshop.golden / "coarse.pth"], tmp_path / "new", workshop.golden / "codec.pth", add=True
    )
    convert(request)
    assert contents(tmp_path / "new") == contents(workshop.bundle("coarse", "codec"))
    (tmp_path / "new" / "vampconv.json").write_text("{}")
    before = contents(tmp_path / "new")
    for dry_run in (True, False):
        with pytest.raises(InputOutputError):
            convert(replace(request, dry_run=dry_run))
    assert contents(tmp_path / "new") == before


def test_a_kept_part_that_was_changed(workshop, tmp_path, tree):
    codec = workshop.golden / "codec.pth"
    convert(Request([workshop.golden / "coarse.pth"], tmp_path / "out", codec))
    (tmp_path / "out" / "coarse.onnx").unlink()
    before = tree(tmp_path)
    with pytest.raises(InputOutputError, match=r"coarse\.onnx"):
        convert(Request([workshop.golden / "c2f.pth"], tmp_path / "out", codec, add=True))
    assert tree(tmp_path) == before
