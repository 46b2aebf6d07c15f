"""``vampconv verify``, and ``convert --verify``, as they are typed."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from xml.etree import ElementTree as ET

import pytest

from ..common import GOLDEN, LINE

RULE = """
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage

class EpsilonOutsideOfTheRoot(Rule):
    stage, claim = Stage.LOWER, Close(rtol=1e-5, atol=1e-6)

    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def after(op, x, weight, eps):
        mean = op.ReduceMean(op.Mul(x, x), axes=[-1], keepdims=1)
        return op.Mul(op.Div(x, op.Add(op.Sqrt(mean), eps)), weight)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 64), weight=draw(64), eps=1e-6)
"""
WITHOUT = """
import sys
sys.modules["{}"] = None
from vampconv.cli import main
main()
"""
SHORT = ("--lengths", "13", "--batches", "1")


@pytest.fixture
def place(tmp_path, monkeypatch):
    """The current directory, with a transformer, its codec, and rules of one's own that are wrong."""
    monkeypatch.chdir(tmp_path)
    for name in ("coarse", "codec"):
        shutil.copy(GOLDEN / f"{name}.pth", tmp_path)
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "norm.py").write_text(RULE)
    return tmp_path


def test_what_is_right(vampconv, place):
    """Bundle and checkpoints are found, and every report is written."""
    assert vampconv("convert", "coarse.pth").code == 0
    reports = ("--json", "r.json", "--html", "r.html", "--junit", "r.xml")
    ran = vampconv("verify", "--layerwise", *SHORT, *reports)
    assert (ran.code, ran.err) == (0, "")
    assert "PASS: " in ran.out
    assert "transformer.layers.2.feed_forward.act" in ran.out
    assert json.loads((place / "r.json").read_text())["verdict"] == "pass"
    assert "<title>PASS" in (place / "r.html").read_text()
    assert ET.parse(place / "r.xml").getroot().get("failures") == "0"
    assert not (place / "vampconv-repro").exists()


def test_what_is_wrong(vampconv, place):
    """An epsilon in the wrong place: the layer, the rule, and a reproduction that shows it."""
    options = ("--rules", "wrong", "--disable", "ClassicRMSNorm")
    assert vampconv("convert", "coarse.pth", *options).code == 0
    ran = vampconv("verify", "--bisect", *SHORT, "--rules", "wrong", "--json", "r.json", "--html", "r.html")
    assert ran.code == 5
    assert LINE.fullmatch(ran.err)
    assert "coarse-onnx does not compute what its checkpoints do" in ran.err
    (part,) = json.loads((place / "r.json").read_text())["parts"]
    first = part["faults"][0]
    assert (first["module"], first["rules"]) == ("transformer.layers.0.norm_1", ["EpsilonOutsideOfTheRoot"])
    assert first["proven"]
    assert "First at fault: coarse, transformer.layers.0.norm_1, by EpsilonOutsideOfTheRoot." in ran.out
    script = [sys.executable, place / first["repro"] / "repro.py"]
    told = subprocess.run(script, capture_output=True, text=True, check=True).stdout
    assert float(told.split()[-1]) > 1


def test_a_conversion_that_is_wrong_leaves_nothing(vampconv, place, tree):
    options = ("--rules", "wrong", "--disable", "ClassicRMSNorm")
    (place / "wrong" / "norm.py").write_text(RULE.replace("eps)), weight)", "eps)), op.Mul(weight, 1.01))"))
    before = tree(place)
    ran = vampconv("convert", "coarse.pth", *options, "--verify")
    assert ran.code == 5
    assert LINE.fullmatch(ran.err)
    assert "the converted model is wrong: coarse" in ran.err
    assert tree(place) == before
    assert vampconv("convert", "coarse.pth", "--verify").code == 0


@pytest.mark.parametrize(
    ("module", "name"),
    [("torch", "PyTorch"), ("jinja2", "Jinja"), ("onnx_graphsurgeon", "onnx-graphsurgeon")],
)
@pytest.mark.parametrize("arguments", [["verify"], ["convert", "coarse.pth", "--verify"]])
def test_without_the_extra(place, module, name, arguments, tree):
    before = tree(place)
    command = [sys.executable, "-c", WITHOUT.format(module), *arguments]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert LINE.fullmatch(ran.stderr)
    assert f"verification needs {name}" in ran.stderr
    assert "pip install 'vampconv[verify]'" in ran.stderr
    assert tree(place) == before


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--lengths", "1,x"], "'1,x' is not a list of whole numbers"),
        (["--lengths", "0"], "--lengths must be whole numbers from 1"),
        (["--seeds", "0"], "--seeds must be whole numbers from 1"),
        (["--audio", "none.wav", *SHORT], "--audio needs a bundle with encoder and decoder"),
        (["--against", "none.pth"], "none.pth"),
    ],
)
@pytest.mark.usefixtures("place")
def test_usage(vampconv, arguments, told):
    assert vampconv("convert", "coarse.pth").code == 0
    ran = vampconv("verify", *arguments)
    assert ran.code in {2, 3, 6}
    assert LINE.fullmatch(ran.err), ran.err
    assert told in ran.err


@pytest.mark.usefixtures("place")
def test_without_a_bundle(vampconv):
    ran = vampconv("verify")
    assert ran.code == 2
    assert LINE.fullmatch(ran.err)
