"""Finding the bundle, its checkpoints, and what its files hold."""

from __future__ import annotations

import hashlib
import shutil

import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError, NotACheckpointError, UnsupportedModelError, UsageError
from vampconv.runtime.bundle import find_bundle
from vampconv.verify import locate
from vampconv.verify.locate import check_files, find_checkpoints, hash_files


@pytest.fixture
def place(workshop, tmp_path, monkeypatch):
    """Here: a transformer, its codec, and their bundle."""
    place = tmp_path / "here"
    place.mkdir()
    workshop.model(place)
    workshop.codec(place)
    monkeypatch.chdir(place)
    convert(Request([place / "coarse.pth"], place / "out"))
    return place


def search(place, *against, bundle="out"):
    return find_checkpoints(read_manifest(place / bundle), place / bundle, against)


def another(workshop, directory, name="coarse.pth", **options):
    """A checkpoint like the first one, of other numbers but the same size."""
    directory.mkdir(exist_ok=True)
    return workshop.model(directory, name=name, seed=1, **options)


def test_the_bundle_here_or_right_under_here(place, monkeypatch):
    assert find_bundle().resolve() == place / "out"
    assert find_bundle(place / "out") == place / "out"
    monkeypatch.chdir(place / "out")
    assert find_bundle() == place / "out"


def test_no_bundle(place):
    shutil.rmtree(place / "out")
    with pytest.raises(UsageError, match="no bundle here"):
        find_bundle()


def test_several_bundles(place):
    shutil.copytree(place / "out", place / "more")
    with pytest.raises(UsageError, match="several bundles here: more, out"):
        find_bundle()


def test_what_a_crashed_conversion_left_is_no_bundle(place):
    shutil.copytree("out", ".out.vampconv-0123456789abcdef")
    assert find_bundle().resolve() == place / "out"


@pytest.mark.parametrize("given", [".", "coarse.pth", "out/vampconv.json", "nowhere"])
def test_not_a_bundle(place, given):
    with pytest.raises(InputOutputError, match="does not exist" if given == "nowhere" else "is not a bundle"):
        find_bundle(place / given)


@pytest.mark.parametrize("where", [".", "out", "sub", "elsewhere"])
def test_checkpoints_beside_the_bundle_above_and_here(place, monkeypatch, where):
    (place / where).mkdir(exist_ok=True)
    monkeypatch.chdir(where)
    bundle = place / "out"
    if where == "sub":
        bundle = shutil.move(place / "out", place / "sub" / "out")
    located = find_checkpoints(read_manifest(bundle), bundle)
    assert {label: path.resolve() for label, path in located.paths.items()} == {
        name: place / name for name in ("coarse.pth", "codec.pth")
    }
    assert located.hashes == {n: hashlib.sha256((place / n).read_bytes()).hexdigest() for n in located.paths}
    assert located.problems == []


def test_checkpoints_in_the_current_directory(place, tmp_path):
    bundle = shutil.move(place / "out", tmp_path / "far" / "away" / "out")
    assert set(find_checkpoints(read_manifest(bundle), bundle).paths) == {"coarse.pth", "codec.pth"}


def test_names_do_not_matter(place):
    (place / "coarse.pth").rename(place / "renamed.bin")
    located = search(place)
    assert located.paths["coarse.pth"].name == "renamed.bin"
    assert any("renamed.bin" in note for note in located.notes)


def test_of_copies_the_one_of_the_right_name(place):
    shutil.copy("coarse.pth", "a.pth")
    assert search(place).paths["coarse.pth"].name == "coarse.pth"


def test_only_files_of_the_right_size_are_read(place, monkeypatch):
    (place / "large.pth").write_bytes(bytes(1000))
    read = []
    real = locate._sha256
    monkeypatch.setattr(locate, "_sha256", lambda path: (read.append(path.name), real(path))[1])
    search(place)
    assert sorted(read) == ["coarse.pth", "codec.pth"]


def test_folders_in_labels(workshop, tmp_path, monkeypatch):
    for name in ("coarse", "c2f"):
        (tmp_path / name).mkdir()
        shutil.copy(workshop.golden / f"{name}.pth", tmp_path / name / "model.pth")
    files = [tmp_path / name / "model.pth" for name in ("coarse", "c2f")]
    convert(Request(files, tmp_path / "out", codec=workshop.golden / "codec.pth"))
    shutil.copy(workshop.golden / "codec.pth", tmp_path)
    monkeypatch.chdir(workshop.golden)
    located = search(tmp_path)
    assert located.paths["coarse/model.pth"] == files[0]
    assert located.paths["c2f/model.pth"] == files[1]


def test_a_missing_checkpoint_is_named(place, tmp_path):
    digest = hashlib.sha256((place / "coarse.pth").read_bytes()).hexdigest()
    (tmp_path / "deep").mkdir()
    shutil.move("coarse.pth", tmp_path / "deep" / "moved.pth")
    with pytest.raises(UsageError) as raised:
        search(place)
    assert f"checkpoint coarse.pth (sha256 {digest[:12]}) not found" in raised.value.problem
    assert "--against" in raised.value.fix
    assert search(place, tmp_path / "deep" / "moved.pth").problems == []
    assert search(place, tmp_path / "deep").problems == []


def test_all_missing_checkpoints_are_named(place):
    for name in ("coarse.pth", "codec.pth"):
        (place / name).unlink()
    with pytest.raises(UsageError, match=r"checkpoints coarse\.pth .*, codec\.pth"):
        search(place)


def test_a_damaged_checkpoint_is_another(place):
    data = bytearray((place / "coarse.pth").read_bytes())
    data[len(data) // 2] ^= 1
    (place / "coarse.pth").write_bytes(data)
    with pytest.raises(UsageError, match=r"another file is \S*coarse\.pth"):
        search(place)


def test_against_another_file(workshop, place):
    other = another(workshop, place / "other", name="mine.pth")
    located = search(place, other)
    assert located.paths["coarse.pth"] == other
    found, wanted = (hashlib.sha256(p.read_bytes()).hexdigest() for p in (other, place / "coarse.pth"))
    assert located.hashes["coarse.pth"] == found
    (problem,) = located.problems
    assert "mine.pth is not the checkpoint that the bundle was made from (coarse.pth)" in problem
    assert f"sha256 {found[:12]} instead of {wanted[:12]}" in problem
    assert located.paths["codec.pth"].resolve() == place / "codec.pth"


def test_against_a_directory(workshop, place):
    other = another(workshop, place / "other")
    (place / "other" / "notes.txt").write_text("no checkpoint")
    assert search(place, place / "other").problems == []
    (place / "coarse.pth").unlink()
    located = search(place, place / "other")
    assert located.paths["coarse.pth"] == other
    assert len(located.problems) == 1


def test_against_what_has_no_place(workshop, place):
    another(workshop, place / "other", name="one.pth")
    another(workshop, place / "other", name="two.pth")
    with pytest.raises(UsageError, match=r"two\.pth: a VampNet transformer, but the bundle has no place"):
        search(place, place / "other" / "one.pth", place / "other" / "two.pth")
    with pytest.raises(UsageError, match="a WaveBeat beat tracker, but the bundle has no place"):
        search(place, workshop.golden / "wavebeat.pth")
    with pytest.raises(InputOutputError, match="does not exist"):
        search(place, place / "nowhere.pth")
    (place / "text.pth").write_text("text")
    with pytest.raises(NotACheckpointError):
        search(place, place / "text.pth")
    workshop.save({"state_dict": {"x": torch.zeros(2)}}, place / "empty.pth")
    with pytest.raises(UnsupportedModelError):
        search(place, place / "empty.pth")


def test_kinds_and_shapes_tell_files_apart(workshop, tmp_path, monkeypatch):
    """Resaved files have other hashes; which is which is told from their tensors."""
    monkeypatch.chdir(tmp_path)
    names = ("coarse", "c2f", "codec", "wavebeat")
    tune = workshop.golden / "coarse_lora.pth"
    bundle = workshop.bundle(*names, loras=[tune])
    saved = [
        workshop.save(workshop.load(n), tmp_path / f"{i}.bin") for i, n in enumerate((*names, "coarse_lora"))
    ]
    located = find_checkpoints(read_manifest(bundle), bundle, saved)
    wanted = dict(zip((f"{n}.pth" for n in (*names, "coarse_lora")), saved, strict=True))
    assert located.paths == wanted
    assert len(located.problems) == 5
    assert find_checkpoints(read_manifest(bundle), bundle, [tmp_path]).paths == wanted


def test_alike_files_are_told_apart_by_name_or_not_at_all(workshop, tmp_path):
    workshop.codec(tmp_path)
    entry = {"kind": "LAC codec", "bytes": 1, "tensors": [], "sha256": "0" * 64}
    manifest = {
        "checkpoints": [entry | {"file": "codec.pth"}, entry | {"file": "more.pth", "sha256": "1" * 64}]
    }
    with pytest.raises(UsageError, match=r"checkpoint more\.pth"):
        find_checkpoints(manifest, tmp_path / "out", [tmp_path / "codec.pth"])
    (tmp_path / "codec.pth").rename(tmp_path / "other.pth")
    with pytest.raises(UsageError, match=r"it could be codec\.pth or more\.pth"):
        find_checkpoints(manifest, tmp_path / "out", [tmp_path / "other.pth"])


def test_files_are_what_they_were(place):
    manifest = read_manifest(place / "out")
    assert check_files(manifest, place / "out") == []
    hashes, _ = hash_files(manifest, place / "out")
    assert hashes == {name: entry["sha256"] for name, entry in manifest["files"].items()}


def test_files_are_not_what_they_were(place):
    bundle, manifest = place / "out", read_manifest(place / "out")
    data = bytearray((bundle / "coarse.onnx.data").read_bytes())
    data[-1] ^= 1
    (bundle / "coarse.onnx.data").write_bytes(data)
    (bundle / "coarse.onnx").unlink()
    found, wanted = hashlib.sha256(data).hexdigest(), manifest["files"]["coarse.onnx.data"]["sha256"]
    assert check_files(manifest, bundle) == [
        "coarse.onnx is missing",
        f"coarse.onnx.data is not as it was written: sha256 {found[:12]} instead of {wanted[:12]}",
    ]
    (bundle / "coarse.onnx").mkdir()
    (bundle / "coarse.onnx.data").write_bytes(data[:-1])
    assert len(check_files(manifest, bundle)) == 2
    manifest["files"] = {"../codec.pth": {}}
    assert check_files(manifest, bundle) == [
        "vampconv.json lists '../codec.pth', which is no file of the bundle"
    ]


@pytest.mark.parametrize("key", ["bytes", "kind", "tensors"])
def test_a_damaged_manifest(place, key):
    manifest = read_manifest(place / "out")
    del manifest["checkpoints"][0][key]
    with pytest.raises(InputOutputError, match=r"vampconv\.json is damaged"):
        find_checkpoints(manifest, place / "out")
