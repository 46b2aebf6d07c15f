"""``vampconv convert`` as it is typed."""

from __future__ import annotations

import json
import shutil

import onnx
import pytest

from ..common import LINE


@pytest.fixture
def place(workshop, tmp_path, monkeypatch):
    """The current directory, with a tiny transformer and its codec."""
    monkeypatch.chdir(tmp_path)
    workshop.model(tmp_path)
    workshop.codec(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "command"),
        (["convert"], "Missing argument"),
        (["inspect"], "Missing argument"),
        (["convrt"], "No such command 'convrt'"),
        (["convert", "coarse.pth", "--opset", "abc"], "'abc' is not a valid integer"),
        (["convert", "coarse.pth", "--opset", "16"], "--opset 16 is not between 17 and"),
        (["convert", "coarse.pth", "--opset", "27"], "--opset 27 is not between 17 and"),
        (["convert", "coarse.pth", "--opset", "-1"], "--opset -1"),
        (["convert", "coarse.pth", "--opset", "999999999999999999999"], "--opset"),
        (["convert", "coarse.pth", "--target", "ord"], "there is no target ord; give one of portable, ort"),
        (["convert", "coarse.pth", "--precision", "int7"], "'int7'"),
        (
            ["convert", "coarse.pth", "--precision", "int4"],
            "no rules for --precision int4 with --target portable; give --target ort",
        ),
        (["convert", "coarse.pth", "--keep", "int8:x"], "--keep int8:x is not fp32:PATTERN"),
        (["convert", "coarse.pth", "--keep", "fp32:"], "is not fp32:PATTERN"),
        (["convert", "coarse.pth", "--keep", "fp32:*"], "--keep fp32:*: nothing can be kept from fp32"),
        (["convert", "coarse.pth", "--precision", "int8", "--keep", "fp32:*.w_3"], "is called *.w_3"),
        (
            [
                "convert",
                "coarse.pth",
                "--precision",
                "int8",
                "--disable",
                "QuantizeProduct",
                "--disable",
                "QuantizeGatedProduct",
            ],
            "there are no rules for --precision int8 with --target portable; leave it at fp32",
        ),
        (["convert", "coarse.pth", "--nonsense"], "--nonsense"),
        (["convert", "coarse.pth", "--disable", "MergeLora"], "no rule MergeLora; did you mean MergeLoRA?"),
        (["convert", "coarse.pth", "--enable", "Xyzzy"], "no rule Xyzzy; known: "),
        (["convert", "coarse.pth", "--rules", "nowhere"], "--rules nowhere"),
        (["convert", "coarse.pth", "-o"], "requires an argument"),
        (["inspect", "coarse.pth", "--run"], "not a bundle"),
        (["inspect", "coarse.pth", "codec.pth"], "unexpected extra argument"),
    ],
)
def test_usage(vampconv, tree, place, arguments, told):
    before = tree(place)
    ran = vampconv(*arguments)
    assert ran.code == 2
    assert ran.out == ""
    assert LINE.fullmatch(ran.err), ran.err
    assert told in ran.err
    assert tree(place) == before


def test_the_default_output(vampconv, place):
    assert vampconv("convert", "coarse.pth").code == 0
    assert sorted(p.name for p in place.iterdir()) == ["coarse-onnx", "coarse.pth", "codec.pth"]
    (place / "my.model.v2.pth").symlink_to("coarse.pth")
    assert vampconv("convert", "my.model.v2.pth", "codec.pth").code == 0
    assert (place / "my.model.v2-onnx" / "coarse.onnx").exists()


def test_the_default_output_of_a_directory(vampconv, place, monkeypatch):
    (place / "models").mkdir()
    for name in ("coarse.pth", "codec.pth"):
        (place / name).rename(place / "models" / name)
    assert vampconv("convert", "models/").code == 0
    assert (place / "models-onnx" / "vampconv.json").exists()
    monkeypatch.chdir(place / "models")
    assert vampconv("convert", ".").code == 0
    assert (place / "models" / "models-onnx" / "vampconv.json").exists()


def test_the_summary(vampconv, workshop, place):
    shutil.copy(workshop.golden / "coarse.pth", place / "big.pth")
    (place / "codec.pth").unlink()
    shutil.copy(workshop.golden / "codec.pth", place)
    ran = vampconv("convert", "big.pth", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("wrote out\n")
    for told in (
        "3 layers, 4 heads, dim 48, 4 codebooks of 64",
        "MergeLoRA × 15",
        "62 of 62: 62 used",
        "528 of 528: 524 not requested, 4 shared",
        "note: codec: codec.pth, found beside big.pth",
    ):
        assert told in ran.out
    assert "note" not in vampconv("convert", "big.pth", "codec.pth", "-o", "out", "--force").out
    assert "\x1b" not in ran.out


@pytest.mark.usefixtures("place")
def test_the_summary_of_the_others(vampconv, workshop):
    def told(name):
        tables = ("--codec", workshop.golden / "codec.pth")
        return vampconv("convert", workshop.golden / f"{name}.pth", *tables, "-o", name).out

    assert "FiLM 10" in told("coarse_film")
    assert "control rmsq16" in told("coarse_ctrl").replace("\n", " ")
    assert "4 condition" in told("c2f")


def test_json(vampconv, place):
    ran = vampconv("convert", "coarse.pth", "--json")
    assert (ran.code, ran.err) == (0, "")
    assert json.loads(ran.out) == json.loads((place / "coarse-onnx" / "vampconv.json").read_text())
    dry = vampconv("convert", "coarse.pth", "-o", "other", "--json", "--dry-run")
    content, told = json.loads(ran.out), json.loads(dry.out)
    assert told["checkpoints"] == content["checkpoints"]
    assert told["models"]["coarse"]["initializers"] == content["models"]["coarse"]["initializers"]


def test_a_dry_run_writes_nothing(vampconv, place, tree):
    before = tree(place)
    ran = vampconv("convert", "coarse.pth", "--dry-run")
    assert ran.code == 0
    assert ran.out.startswith("would write coarse-onnx\n")
    assert tree(place) == before
    vampconv("convert", "coarse.pth")
    assert vampconv("convert", "coarse.pth", "--dry-run").code == 6
    assert vampconv("convert", "coarse.pth", "--dry-run", "--force").code == 0
    assert vampconv("convert", "coarse.pth", "--dry-run", "--add").code == 0


def test_a_directory_of_everything(vampconv, workshop, place, golden_copy):
    there = golden_copy("coarse", "c2f", "codec", "wavebeat", "coarse_lora")
    (there / "README.md").write_text("# Checkpoints\n")
    (there / "pointer.pth").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    (there / "empty").touch()
    (there / ".hidden").write_bytes(b"\0")
    (there / "deeper").mkdir()
    (there / "broken").symlink_to("nowhere")
    workshop.save([1, 2], there / "list.pt")
    shutil.copy(workshop.golden / "coarse_b1_t13.npz", there)
    ran = vampconv("convert", there, "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    wanted = workshop.bundle(*(workshop.golden / f"{n}.pth" for n in ("coarse", "c2f", "codec", "wavebeat")))
    assert {f.name for f in wanted.glob("*.onnx")} == {
        *("coarse.onnx", "c2f.onnx", "encoder.onnx", "decoder.onnx", "wavebeat.onnx"),
        *("vamp.onnx", "vamp_replay.onnx", "vamp_c2f.onnx", "vamp_c2f_replay.onnx", "vamp_audio.onnx"),
    }
    for file in wanted.iterdir():
        assert (place / "out" / file.name).read_bytes() == file.read_bytes()
    flat = " ".join(ran.out.split())
    assert "passed over: coarse_lora.pth, a LoRA fine-tune" in flat
    assert "passed over: pointer.pth is a Git LFS pointer" in flat
    assert "passed over: list.pt" in flat
    assert "README" not in flat
    assert "npz" not in flat


@pytest.mark.usefixtures("place")
def test_a_directory_and_its_fine_tune(vampconv, golden_copy):
    there = golden_copy("coarse", "c2f", "codec", "coarse_lora")
    ran = vampconv("convert", there, "--lora", there / "coarse_lora.pth", "-o", "out", "--json")
    files = {c["file"] for c in json.loads(ran.out)["checkpoints"]}
    assert files == {"coarse.pth", "c2f.pth", "coarse_lora.pth", "codec.pth"}
    assert len(json.loads(ran.out)["checkpoints"]) == 4


def test_a_codec_is_found_by_its_content(vampconv, place):
    (place / "codec.pth").rename(place / "anything.bin")
    (place / "codec.pth").write_text("not it")
    (place / "damaged.pth").write_bytes((place / "coarse.pth").read_bytes()[:900])
    ran = vampconv("convert", "coarse.pth")
    assert ran.code == 0
    assert "codec: anything.bin, found beside coarse.pth" in ran.out


def test_a_codec_that_fits_is_chosen(vampconv, workshop, place):
    shutil.copy(workshop.golden / "codec.pth", place / "another.pth")
    assert "codec: codec.pth, found" in vampconv("convert", "coarse.pth").out


@pytest.mark.parametrize(
    "name", [r"[red]a[/red].pth", r"a\[/x].pth", "[/x].pth", "größe 音 .pth", "a\tb.pth"]
)
def test_names_with_markup(vampconv, place, name):
    if "/" in name:
        folder = place / name.rpartition("/")[0]
        folder.mkdir(parents=True)
    (place / "coarse.pth").rename(place / name)
    ran = vampconv("convert", name, "codec.pth", "-o", "[bold]out\\")
    assert (ran.code, ran.err) == (0, ""), ran.err
    assert "wrote [bold]out\\\n" in ran.out
    shown = name.rpartition("/")[2].replace("\t", "?")
    assert shown in ran.out
    assert shown in vampconv("inspect", name).out
    assert shown in vampconv("inspect", "[bold]out\\").out


def test_names_that_are_not_utf8(vampconv, place):
    (place / "coarse.pth").rename(place / "co\udcffarse.pth")
    ran = vampconv("convert", "co\udcffarse.pth")
    assert ran.code == 2
    assert "not UTF-8" in ran.err
    ran = vampconv("convert", "co\udcffarse.pth", "-o", "out")
    assert (ran.code, ran.err) == (0, "")
    labels = [c["file"] for c in json.loads((place / "out" / "vampconv.json").read_text())["checkpoints"]]
    assert labels == [r"co\xffarse.pth", "codec.pth"]
    assert json.loads(vampconv("inspect", "co\udcffarse.pth", "--json").out)["kind"] == "VampNet transformer"


def test_controls_with_odd_names(vampconv, workshop, place):
    from dataclasses import replace

    config = replace(workshop.tiny, ctrl_dims={"[/red]a b": 1, "a:b": 2})
    workshop.model(place, config, name="ctrl.pth")
    ran = vampconv("convert", "ctrl.pth", "codec.pth")
    assert (ran.code, ran.err) == (0, "")
    assert "control [/red]a b (1)" in ran.out
    assert "control [/red]a b (1)" in vampconv("inspect", "ctrl.pth").out
    onnx.checker.check_model(str(place / "ctrl-onnx" / "coarse.onnx"), full_check=True)
    assert vampconv("convert", "ctrl.pth", "codec.pth", "--add", "-o", "ctrl-onnx").code == 0


def test_an_opset_by_option(vampconv, place):
    assert vampconv("convert", "coarse.pth", "--opset", "23", "-o", "out").code == 0
    model = onnx.load(place / "out" / "coarse.onnx")
    assert model.opset_import[0].version == 23
    assert "RMSNormalization" in {n.op_type for n in model.graph.node}


def test_help_and_version(vampconv):
    import vampconv as package

    assert vampconv("--version").out == f"vampconv {package.__version__}\n"
    for arguments in (["--help"], ["-h"], ["convert", "--help"], ["inspect", "-h"]):
        ran = vampconv(*arguments)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith("Usage: vampconv")


def test_bugs_are_reported_in_one_line(vampconv, place, monkeypatch):
    monkeypatch.setattr("vampconv.convert.conversion.make_plan", lambda *_, **__: 1 / 0)
    ran = vampconv("convert", "coarse.pth")
    assert ran.code == 70
    assert LINE.fullmatch(ran.err)
    assert "ZeroDivisionError" in ran.err
    monkeypatch.setattr("vampconv.convert.conversion.make_plan", lambda *_, **__: bytearray(1 << 62))
    ran = vampconv("convert", "coarse.pth")
    assert ran.code == 8
    assert "out of memory" in ran.err
    assert not (place / "coarse-onnx").exists()
    assert sorted(p.name for p in place.iterdir()) == ["coarse.pth", "codec.pth"]
