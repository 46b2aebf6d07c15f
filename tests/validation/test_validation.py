"""``convert --audit``: all that fires is checked, mistakes are caught, and nothing is changed by looking."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from vampconv.convert import Request, convert
from vampconv.dialect import Ops
from vampconv.errors import PluginError
from vampconv.opsets import newest
from vampconv.plugins import Plugin
from vampconv.rewrite import Close, Rule, Stage
from vampconv.rewrite.audit import audit

from ..common import LINE
from .wrong import WRONG

CODECS = ("codec", "codec_odd")
TRANSFORMERS = ("coarse", "c2f", "coarse_ctrl", "coarse_film")
CASES = [(name, opset) for name in TRANSFORMERS for opset in sorted({17, 20, 23, newest()})]
CASES += [(name, opset) for name in ("wavebeat", "codec_odd") for opset in (17, newest())]
COMPARED = ("coarse_film", "wavebeat", "codec_odd")
"""What is converted with and without an audit, and is checked there at opset 17."""


def request(workshop, output, *names, **options):
    codec = None if any(n in (*CODECS, "wavebeat") for n in names) else workshop.golden / "codec.pth"
    return Request([workshop.golden / f"{n}.pth" for n in names], output, codec=codec, **options)


def everything_is_checked(found):
    for part, records in found.audit.items():
        assert records, part
        fired = found.manifest["models"][part]["rules"]
        assert {r.rule: r.fired for r in records} == fired
        for record in records:
            assert record.checked == record.fired, (part, record)
            assert record.comparisons >= record.checked
            assert not record.unchecked
            assert record.largest_error < 1e-5


@pytest.mark.parametrize(("name", "opset"), [c for c in CASES if c not in {(n, 17) for n in COMPARED}])
def test_every_firing_of_a_golden_checkpoint_is_checked(workshop, tmp_path, name, opset):
    found = convert(request(workshop, tmp_path / "out", name, opset=opset, audit=True, dry_run=True))
    everything_is_checked(found)


def test_every_firing_of_a_fine_tune_is_checked(workshop, tmp_path):
    loras = [workshop.golden / "coarse_lora.pth"]
    found = convert(request(workshop, tmp_path / "out", "coarse", loras=loras, audit=True, dry_run=True))
    everything_is_checked(found)


def test_every_firing_of_a_whole_bundle_is_checked(workshop, tmp_path):
    """A codec of even strides, with a transformer that takes its tables."""
    coarse, codec, _ = workshop.all_kinds()
    found = convert(Request([coarse, codec], tmp_path / "out", audit=True))
    everything_is_checked(found)
    assert set(found.audit) == {"coarse", "encoder", "decoder"}


@pytest.mark.parametrize("name", COMPARED)
def test_the_same_bytes_with_and_without(workshop, tree, tmp_path, name):
    convert(request(workshop, tmp_path / "plain", name))
    everything_is_checked(convert(request(workshop, tmp_path / "looked", name, audit=True)))
    assert tree(tmp_path / "plain") == tree(tmp_path / "looked")


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_that_the_evidence_does_not_show(workshop, tree, tmp_path, name):
    rule, instead_of, files = WRONG[name]
    assert audit(rule).compared > 0
    (tmp_path / "out").mkdir()
    before = tree(tmp_path)
    options = {"plugins": [Plugin([rule])], "disable": [instead_of.__name__], "audit": True}
    with pytest.raises(PluginError, match=rf"rule {name} changes what \S+ of \S+:\S+ computes: ") as caught:
        convert(request(workshop, tmp_path / "out", *files, **options))
    assert caught.value.code == 7
    assert tree(tmp_path) == before


def test_what_cannot_be_checked_is_said(workshop, tmp_path, monkeypatch):
    monkeypatch.setattr("vampconv.validation.firing.LARGEST", 100)
    found = convert(request(workshop, tmp_path / "out", "coarse", audit=True, dry_run=True))
    (records,) = found.audit.values()
    linear = next(r for r in records if r.rule == "LowerLinear")
    assert (linear.checked, sum(linear.unchecked.values())) == (0, linear.fired)
    assert "more than 100 elements" in next(iter(linear.unchecked))


class Doubled(Rule):
    """A product by an operator of a runtime, and wrong."""

    stage, claim = Stage.TARGET, Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op, x, y):
        return op.MatMul(x, y)

    @staticmethod
    def after(op, x, y):
        return Ops(op.emit, "com.microsoft").FusedMatMul(x, y, alpha=2.0)

    @staticmethod
    def evidence(_draw):
        return ()


def test_what_only_a_runtime_has_is_run_there(workshop, tmp_path):
    options = {"plugins": [Plugin([Doubled])], "audit": True}
    with pytest.raises(PluginError, match=r"rule Doubled changes what ai\.onnx\.MatMul of coarse:"):
        convert(request(workshop, tmp_path / "out", "coarse", **options))


@pytest.fixture
def place(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workshop.model(tmp_path)
    workshop.codec(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("place")
def test_the_command_shows_each_rule_with_its_error_and_claim(vampconv):
    ran = vampconv("convert", "coarse.pth", "--audit", "--dry-run")
    assert (ran.code, ran.err) == (0, "")
    assert re.search(r"LowerLinear +│ 6 of 6 +│ \d\S* +│ Close\(rtol=1e-05", ran.out)
    content = json.loads(vampconv("convert", "coarse.pth", "--audit", "--json").out)
    rows = {row["rule"]: row for row in content["audit"]["coarse"]}
    assert rows["LowerLinear"]["checked"] == rows["LowerLinear"]["fired"] == 6
    assert 0 < rows["LowerLinear"]["largest_error"] < 1e-5
    assert "audit" not in json.loads(Path("coarse-onnx/vampconv.json").read_text())


def test_a_breach_ends_with_7_and_writes_nothing(vampconv, tree, place):
    (place / "mine").mkdir()
    (place / "mine" / "own.py").write_text(BROKEN)
    before = tree(place)
    arguments = ("convert", "coarse.pth", "--rules", "mine", "--disable", "LowerLinear")
    ran = vampconv(*arguments, "--audit")
    assert ran.code == 7
    assert LINE.fullmatch(ran.err), ran.err
    assert re.search(
        r"rule Halved changes what vamp.Linear of coarse:transformer\S+ computes: error", ran.err
    )
    assert tree(place) == before
    assert vampconv(*arguments).code == 0


BROKEN = '''
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage


class Halved(Rule):
    """Wrong."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op, x, weight):
        return vamp(op).Linear(x, weight)

    @staticmethod
    def after(op, x, weight):
        return op.MatMul(x, op.Transpose(op.Mul(weight, 0.5), perm=[1, 0]))

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(5, 6))
'''
