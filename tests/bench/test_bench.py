"""``vampconv bench``: all take turns, and what comes out is told."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import jsonschema
import onnx
import pytest

from vampconv.bench.as_json import SCHEMA, as_json
from vampconv.bench.bench import Request, bench, busy
from vampconv.bench.checkpoints import Size
from vampconv.bench.process import ContestantError

from ..common import LINE

TINY = Size(layers=1, width=16, blocks=2)


def checked(content):
    """The entries of each part in JSON that the schema describes."""
    jsonschema.validate(content, json.loads(SCHEMA.read_text()))
    return {c["part"]: {(e["who"], e["label"]): e for e in c["entries"]} for c in content["contests"]}


def test_models_with_random_weights(tmp_path):
    """All contestants run, and agree; nothing is left of it."""
    told = []
    request = Request(
        size=TINY,
        against=("reference", "exporter", "exporter-int8"),
        parts=("convert", "coarse"),
        seconds=0.5,
        rounds=1,
        threads=1,
        directory=tmp_path,
    )
    found = bench(request, told.append)
    assert list(tmp_path.iterdir()) == []
    contests = checked(json.loads(json.dumps(as_json(found))))
    assert list(contests["convert"]) == [("cp", None), ("ours", "fp32"), ("half", "fp32"), ("exporter", None)]
    coarse = contests["coarse"]
    assert list(coarse) == [
        ("reference", None),
        ("exporter", None),
        ("exporter-int8", None),
        ("ours", "fp32"),
        ("floor", "fp32"),
    ]
    for entry in (*coarse.values(), *contests["convert"].values()):
        assert entry["failure"] is None
        assert len(entry["runs"]) == entry["seconds"]["count"] == 1
        assert 3e6 < entry["peak_bytes"] < 2e9
    assert set(coarse["ours", "fp32"]["ratios"]) == {"reference", "exporter", "exporter-int8", "floor"}
    assert 1e-4 < coarse["exporter-int8", None]["agreement"]["error"] < 0.2
    assert set(contests["convert"]["ours", "fp32"]["ratios"]) == {"exporter", "cp"}
    for who in (("exporter", None), ("ours", "fp32")):
        agrees = coarse[who]["agreement"]
        assert agrees["error"] < 1e-5
        assert agrees["top1"] == 1
        assert agrees["kl"] < 1e-9
    running = [line.split(": running: ")[1] for line in told if line.startswith("coarse: running")]
    assert running == ["reference", "exporter", "exporter-int8", "ours, fp32", "floor, fp32"]
    assert (found.size, found.rounds, found.columns[0].precision) == ("small", 1, "fp32")


@pytest.fixture(scope="module")
def whole(workshop):
    """A bundle of all parts of a vamp."""
    return workshop.whole("coarse", "c2f", "codec")


@pytest.fixture
def golden(workshop):
    """Options that name the checkpoints of the bundle."""
    names = ("coarse", "c2f", "codec")
    return [word for name in names for word in ("--checkpoint", workshop.golden / f"{name}.pth")]


def test_a_vamp_next_to_the_reference(vampconv, whole, golden, tmp_path):
    """The bundle's own checkpoints are the reference's, and parts of the work are told."""
    options = "--against", "reference", "--parts", "vamp", "--seconds", "0.3", "--steps", "2"
    json_file = "--json", tmp_path / "b.json"
    ran = vampconv("bench", whole, *options, *golden, "--rounds", "1", "--threads", "1", *json_file)
    assert ran.code == 0, ran.err
    content = json.loads((tmp_path / "b.json").read_text())
    entries = checked(content)["vamp"]
    assert list(entries) == [("reference", None), ("ours", "fp32")]
    for entry in entries.values():
        parts = entry["runs"][0]["parts"]
        assert list(parts) == ["encoder", "coarse", "coarse to fine", "decoder"]
        assert 0 < sum(parts.values()) < entry["runs"][0]["seconds"] + 0.01
    assert content["size"] == "own"
    assert content["goals"] == []
    assert "vampconv, fp32" in ran.out
    assert "vamp: running: reference" in ran.err


def test_a_rival_that_fails_is_told(vampconv, whole, golden, tmp_path, monkeypatch):
    """It says why, the others are measured, and the command succeeds."""

    def fails(_command):
        raise ContestantError("RuntimeError: it cannot be exported")

    monkeypatch.setattr("vampconv.bench.contest.measure", fails)
    options = "--against", "exporter", "--parts", "decoder", "--seconds", "0.1", "--rounds", "1"
    ran = vampconv("bench", whole, *options, *golden, "--json", tmp_path / "b.json")
    assert ran.code == 0, ran.err
    entries = checked(json.loads((tmp_path / "b.json").read_text()))["decoder"]
    assert entries["exporter", None]["failure"] == "RuntimeError: it cannot be exported"
    assert entries["exporter", None]["runs"] == []
    assert entries["ours", "fp32"]["ratios"].keys() == {"floor"}
    assert "failed: RuntimeError: it cannot be exported" in ran.out


def test_several_bundles_are_columns(vampconv, whole, tmp_path, monkeypatch):
    """One that has the very same model is not measured twice; the plots have other lengths."""
    monkeypatch.setattr("vampconv.bench.contest.LENGTHS", (0.1, 0.2))
    monkeypatch.setattr("vampconv.bench.contest.REPEATS", 1)
    same, other = (shutil.copytree(whole, tmp_path / name) for name in ("same", "other"))
    manifest = json.loads((other / "vampconv.json").read_text())
    manifest["models"]["coarse"] |= {"precision": "int8", "target": "ort"}
    model = onnx.load(other / "coarse.onnx", load_external_data=False)
    model.doc_string = "another"
    onnx.save(model, other / "coarse.onnx")
    update_hash(other, manifest, "coarse.onnx")
    files = "--json", tmp_path / "b.json", "--plot", tmp_path / "b.svg"
    options = "--against", "none", "--parts", "coarse", "--seconds", "0.1", "--rounds", "1"
    ran = vampconv("bench", whole, same, other, *options, *files)
    assert ran.code == 0, ran.err
    content = json.loads((tmp_path / "b.json").read_text())
    assert list(checked(content)["coarse"]) == [
        (who, label) for label in ("fp32 bundle", "int8 ort other") for who in ("ours", "floor")
    ]
    points = {(p["label"], p["x"]) for p in content["lengths"]}
    assert points == {(label, x) for label in ("fp32 bundle", "int8 ort other") for x in (0.1, 0.2)}
    drawn = ET.parse(tmp_path / "b.svg").getroot()
    assert drawn.tag.endswith("svg")


def update_hash(bundle, manifest, name):
    """Let the manifest know a file as it is."""
    import hashlib

    content = (bundle / name).read_bytes()
    manifest["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (bundle / "vampconv.json").write_text(json.dumps(manifest))


def test_what_is_ours_and_does_not_run_is_an_error(vampconv, whole, tmp_path):
    """The table is shown all the same."""
    bundle = shutil.copytree(whole, tmp_path / "bundle")
    (bundle / "decoder.onnx").write_bytes(b"no model")
    update_hash(bundle, json.loads((bundle / "vampconv.json").read_text()), "decoder.onnx")
    ran = vampconv("bench", bundle, "--against", "none", "--parts", "decoder", "--rounds", "1")
    assert ran.code == 6
    assert ran.err.splitlines()[-1].startswith("vampconv: error[6]: decoder: vampconv, fp32 failed: ")
    assert "failed: " in ran.out


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("nowhere",), 6, "nowhere does not exist"),
        (("empty",), 6, "is not a bundle"),
        (("damaged",), 6, "decoder.onnx"),
        (("incomplete",), 6, "has no coarse"),
        (("incomplete", "--parts", "vamp"), 6, "has no coarse"),
        (("bundle", "--against", "tortoise"), 2, "there is no 'tortoise'"),
        (("bundle", "--parts", "drums"), 2, "there is no 'drums'"),
        (("bundle", "--full-size"), 2, "leave one of them out"),
        (("bundle", "--rounds", "0"), 2, "--rounds"),
        (("bundle", "--seconds", "0"), 2, "--seconds"),
        (("bundle", "--plot", "x.txt"), 2, "names no kind of picture"),
        (("bundle", "--json", "no/such/b.json"), 6, "there is no directory no/such"),
        (("bundle",), 2, "give the file by --checkpoint"),
        (("--variant", "fp7"), 2, "there is no precision 'fp7'"),
        (("--variant", "fp32:abacus"), 2, "there is no target abacus"),
    ],
)
def test_one_line_for_an_error(vampconv, whole, tmp_path, monkeypatch, arguments, code, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    for name in ("bundle", "damaged", "incomplete"):
        shutil.copytree(whole, tmp_path / name)
    (tmp_path / "damaged" / "decoder.onnx").write_bytes(b"no model")
    manifest = json.loads((tmp_path / "incomplete" / "vampconv.json").read_text())
    del manifest["models"]["coarse"]
    (tmp_path / "incomplete" / "vampconv.json").write_text(json.dumps(manifest))
    if arguments == ("incomplete",):
        arguments = ("incomplete", "--parts", "coarse")
    ran = vampconv("bench", *arguments)
    assert ran.code == code, ran.err
    assert LINE.fullmatch(ran.err)
    assert told in ran.err
    assert ran.out == ""


WITHOUT = """
import sys
sys.modules["torch"] = None
from vampconv.cli import main
main()
"""


def test_without_torch(whole, tmp_path):
    """The extra is named; without rivals none is needed."""

    def run(*arguments):
        command = [sys.executable, "-c", WITHOUT, "bench", str(whole), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    ran = run()
    assert ran.returncode == 2
    assert ran.stderr == (
        "vampconv: error[2]: a benchmark against PyTorch needs PyTorch; "
        "pip install 'vampconv[verify]' brings it\n"
    )
    ran = run("--against", "none", "--parts", "decoder", "--seconds", "0.1", "--rounds", "1")
    assert ran.returncode == 0, ran.stderr
    assert "its products alone, fp32" in ran.stdout


def test_a_busy_machine_is_told():
    assert busy(1.0, 2) == busy(0.0, 1) == []
    assert busy(1.1, 2) == [
        "the machine was busy at the beginning, with a load of 1.1: times are not to be relied on"
    ]
