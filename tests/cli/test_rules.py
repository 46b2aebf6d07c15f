"""Switching rules on and off, and bringing one's own."""

from __future__ import annotations

import json
import re
import textwrap

import numpy as np
import onnx
import pytest

from ..common import LINE

OWN = '''
"""A lowering of RMSNorm that divides by the root."""
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage


class MyRMSNorm(Rule):
    """RMSNorm with a reciprocal root."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-6)

    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def after(op, x, weight, eps, m):
        mean = op.ReduceMean(op.Pow(x, 2.0), axes=[-1], keepdims=1)
        return op.Mul(op.Mul(x, op.Reciprocal(op.Sqrt(op.Add(mean, eps)))), weight)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(6), eps=1e-6)
'''


@pytest.fixture
def place(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workshop.model(tmp_path)
    workshop.codec(tmp_path)
    (tmp_path / "mine").mkdir()
    return tmp_path


def write(place, text, name="own.py"):
    (place / "mine" / name).write_text(textwrap.dedent(text))


def test_a_rule_of_ones_own_takes_the_place_of_another(vampconv, workshop, relative, place):
    write(place, OWN)
    ran = vampconv("convert", "coarse.pth", "-o", "own", "--rules", "mine", "--disable", "ClassicRMSNorm")
    assert (ran.code, ran.err) == (0, "")
    assert "MyRMSNorm × 3" in ran.out
    assert "ClassicRMSNorm" not in ran.out
    content = json.loads((place / "own" / "vampconv.json").read_text())
    assert content["models"]["coarse"]["rules"]["MyRMSNorm"] == 3
    assert vampconv("convert", "coarse.pth", "-o", "plain").code == 0
    feeds = {"codes": np.arange(2 * 2 * 9).reshape(2, 2, 9) % 8}
    own, plain = (workshop.logits(workshop.session(place / n), feeds) for n in ("own", "plain"))
    assert relative(own, plain) < 1e-6
    assert "Reciprocal" in ops(place / "own") - ops(place / "plain")


def ops(bundle):
    return {n.op_type for n in onnx.load(bundle / "coarse.onnx").graph.node}


def test_the_built_in_rules_come_first(vampconv, place):
    write(place, OWN)
    out = vampconv("convert", "coarse.pth", "--rules", "mine").out
    assert "ClassicRMSNorm × 3" in out
    assert "MyRMSNorm" not in out


def test_a_rule_that_is_off_by_default(vampconv, place):
    write(place, OWN.replace("    claim", "    default = False\n    claim"))
    off = ("convert", "coarse.pth", "--rules", "mine", "--disable", "ClassicRMSNorm", "-o", "out")
    assert vampconv(*off).code == 7
    assert "MyRMSNorm × 3" in vampconv(*off, "--enable", "MyRMSNorm").out


@pytest.mark.parametrize(
    ("rule", "op"),
    [
        ("ClassicRMSNorm", "RMSNorm"),
        ("LowerLinear", "Linear"),
        ("PermuteClassifier", "Classifier"),
        ("GatherCodebookEmbedding", "CodebookEmbedding"),
        ("LowerRelativePositionBias", "RelativePositionBias"),
        ("ClassicAttention", "Attention"),
        ("FoldWeightNorm", "WeightNorm"),
        ("MergeLoRA", "LoRA"),
        ("ClassicGatedGELU", "GatedGELU"),
        ("DropIdentityFiLM", "FiLM"),
    ],
)
def test_disabling_a_rule_that_is_needed(vampconv, tree, place, rule, op):
    before = tree(place)
    ran = vampconv("convert", "coarse.pth", "--disable", rule)
    assert ran.code == 7, ran.out
    assert ran.out == ""
    assert LINE.fullmatch(ran.err), ran.err
    assert op in ran.err
    assert tree(place) == before


@pytest.mark.usefixtures("place")
def test_reasons_are_told(vampconv):
    ran = vampconv("convert", "coarse.pth", "--disable", "ClassicRMSNorm")
    assert "StandardRMSNorm" in ran.err
    assert "opset 23" in ran.err


def test_disabling_a_rule_that_only_shares(vampconv, workshop, relative, place):
    assert vampconv("convert", "coarse.pth", "-o", "a").code == 0
    assert vampconv("convert", "coarse.pth", "-o", "b", "--disable", "ShareRelativePositionBias").code == 0
    feeds = {"codes": np.zeros((1, 2, 40), np.int64)}
    a, b = (workshop.logits(workshop.session(place / n), feeds) for n in "ab")
    assert relative(a, b) < 1e-6


@pytest.mark.parametrize(
    ("text", "code", "told"),
    [
        ("1 / 0", 7, "own.py: ZeroDivisionError"),
        ("def f(:", 7, "own.py: SyntaxError"),
        ("import nothing_of_that_name", 7, "own.py: ModuleNotFoundError"),
        (OWN.replace("MyRMSNorm", "ClassicRMSNorm"), 7, "two rules are named ClassicRMSNorm"),
        (
            OWN.replace("Reciprocal(", "NoSuchOperator("),
            7,
            r"rule MyRMSNorm made NoSuchOperator /\S*norm\S* \(module \S*norm\S*\), which opset 17",
        ),
        (
            OWN.replace("return op.Mul(op.Mul", "return 1, op.Mul(op.Mul"),
            7,
            r"MyRMSNorm at vamp.RMSNorm /\S+ \(module .*`after` returned 2 values",
        ),
        (
            OWN.replace("mean = ", "mean = 1 / 0 + "),
            7,
            r"MyRMSNorm at vamp.RMSNorm /\S+ \(module .*`after` raised ZeroDivisionError",
        ),
        (OWN.replace("op.Add(mean, eps)", "op.Add(mean, 1)"), 7, "ill-typed"),
        (
            OWN.replace("        mean", "        return vamp(op).RMSNorm(x, weight, eps=eps)\n        mean"),
            7,
            "fires without end",
        ),
    ],
)
def test_rules_that_are_wrong(vampconv, place, text, code, told):
    write(place, text)
    ran = vampconv("convert", "coarse.pth", "--rules", "mine", "--disable", "ClassicRMSNorm", "-o", "out")
    assert ran.code == code, ran.err
    assert LINE.fullmatch(ran.err), ran.err
    assert re.search(told, ran.err)
    assert ran.out == ""
    assert not (place / "out").exists()


@pytest.mark.usefixtures("place")
def test_a_directory_without_rules(vampconv):
    assert "no Python files" in vampconv("convert", "coarse.pth", "--rules", "mine").err
    assert vampconv("convert", "coarse.pth", "--rules", "coarse.pth").code == 2


def test_two_files_of_rules(vampconv, place):
    write(place, OWN)
    write(place, OWN.replace("MyRMSNorm", "Another"), "another.py")
    ran = vampconv("convert", "coarse.pth", "--rules", "mine", "--disable", "ClassicRMSNorm")
    assert "Another × 3" in ran.out  # by file name
    ran = vampconv(
        *("convert", "coarse.pth", "--rules", "mine", "--force"),
        *("--disable", "ClassicRMSNorm", "--disable", "Another"),
    )
    assert "MyRMSNorm × 3" in ran.out


@pytest.mark.parametrize("code", [0, 1, 3])
def test_a_rule_that_ends_the_program(vampconv, place, code):
    write(place, OWN.replace("        mean =", f"        raise SystemExit({code})\n        mean ="))
    for text in (None, f"raise SystemExit({code})"):
        if text:
            write(place, text)
        ran = vampconv("convert", "coarse.pth", "-o", "own", "--rules", "mine", "--disable", "ClassicRMSNorm")
        assert (ran.code, ran.out) == (7, "")
        assert f"SystemExit: {code}" in ran.err or "raised SystemExit" in ran.err
        assert not (place / "own").exists()
