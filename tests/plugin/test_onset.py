"""A model family that vampconv knows nothing of, brought by a package: listed, converted, audited, verified."""

from __future__ import annotations

import json
import sys
import textwrap
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.dialect import OPS
from vampconv.errors import PluginError, VerificationError
from vampconv.plugins import Plugin, installed, load_plugins
from vampconv.rewrite.audit import RefutedError, audit
from vampconv.verify.verify import Request as VerifyRequest
from vampconv.verify.verify import quick, verify

from ..common import LINE, manifest

WRONG = textwrap.dedent('''
    from vampconv.dialect import vamp
    from vampconv.rewrite import Close, Rule, Sample, Stage


    class GateByTheFirstHalf(Rule):
        """Takes the wrong half for the gate."""

        stage, claim = Stage.LOWER, Close(rtol=1e-5, atol=1e-6)

        @staticmethod
        def before(op, x):
            return vamp(op).GatedLinearUnit(x)

        @staticmethod
        def after(op, x, m):
            half = m.size("x", 1) // 2
            a, b = op.Split(x, [half, half], axis=1, outputs=2)
            return op.Mul(b, op.Sigmoid(a))

        @staticmethod
        def evidence(draw):
            yield Sample(x=draw("batch", 6, "time"))
''')


@pytest.mark.usefixtures("onset")
def test_it_is_listed_without_being_imported(vampconv, place, tree):
    (found,) = (p for p in installed() if p.name == "onset")
    assert (found.distribution, found.version, found.module) == ("vampconv-onset", "0.3.1", "vampconv_onset")
    assert not found.is_builtin
    before = tree(place)
    for switches in ((), ("--disable", "onset"), ("--enable", "onset", "--disable", "onset")):
        ran = vampconv("convert", "detector.pth", *switches)
        assert ran.code == 4, ran.err
        assert "of no known model" in ran.err
    assert "a rule" not in ran.err
    assert "vampconv_onset" not in sys.modules
    assert "GatedLinearUnit" not in OPS
    assert tree(place) == before


@pytest.mark.usefixtures("onset", "place")
def test_a_switch_that_names_nothing_tells_of_plugins_to_enable(vampconv):
    ran = vampconv("convert", "detector.pth", "--enable", "ConvolveGatesApart")
    assert ran.code == 2
    assert "there is no rule ConvolveGatesApart" in ran.err
    assert "installed plugins to enable first: onset" in ran.err


@pytest.mark.parametrize(
    ("switches", "fired"),
    [
        ((), {"SplitGatedUnit": 3}),
        (("--enable", "ConvolveGatesApart"), {"ConvolveGatesApart": 3}),
        (("--opset", "23", "--target", "onset-box"), {"SplitGatedUnit": 3}),
    ],
)
def test_it_is_converted_and_verified(vampconv, onset, place, switches, fired):
    ran = vampconv("convert", "detector.pth", "--enable", "onset", *switches, "-o", "out")
    assert (ran.code, ran.err) == (0, ""), ran.err
    assert "plugin: onset 0.3.1" in ran.out
    assert "channels 6" in ran.out
    content = manifest(place / "out")
    assert content["models"]["onset"]["rules"] == fired | {
        "ConvOverImage": 3 + (3 if "ConvolveGatesApart" in fired else 0)
    }
    assert content["models"]["onset"]["target"] == ("onset-box" if "--target" in switches else "portable")
    assert content["plugins"][1] == {
        "name": "onset",
        "version": "0.3.1",
        "distribution": "vampconv-onset",
        "module": "vampconv_onset",
        "rules": list(fired),
        "kinds": ["gated onset detector"],
    }
    (entry,) = content["checkpoints"]
    assert entry["kind"] == "gated onset detector"
    assert {t["fate"] for t in entry["tensors"]} == {"used"}
    onnx.checker.check_model(str(place / "out" / "onset.onnx"), full_check=True)

    state = torch.load(place / "detector.pth", weights_only=True)
    model = onset(".reference").OnsetDetector()
    model.load_state_dict(state)
    session = onnxruntime.InferenceSession(place / "out" / "onset.onnx")
    for batch, time in ((1, 1), (3, 41)):
        x = np.random.default_rng(0).standard_normal((batch, 8, time)).astype(np.float32)
        wanted = model(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(session.run(None, {"spectrum": x})[0], wanted, rtol=1e-4, atol=1e-6)

    checked = vampconv("verify", "out", "--layerwise", "--enable", "onset", "--json", "found.json")
    assert checked.code == 0, checked.err + checked.out
    assert "blocks.1.gate" in checked.out
    (part,) = json.loads((place / "found.json").read_text())["parts"]
    assert part["verdict"] == "pass"


@pytest.mark.usefixtures("onset")
def test_it_is_looked_at(vampconv, place, tree):
    before = tree(place)
    ran = vampconv("inspect", "detector.pth", "--enable", "onset", "--json")
    facts = json.loads(ran.out)
    assert (facts["kind"], facts["architecture"]["channels"]) == ("gated onset detector", 6)
    assert facts["graph"]["rules"] == {"SplitGatedUnit": 3, "ConvOverImage": 3}
    assert {t["fate"] for t in facts["tensors"]} == {"used"}
    ran = vampconv("convert", "detector.pth", "--enable", "onset", "--dry-run")
    assert (ran.code, tree(place)) == (0, before)
    assert vampconv("convert", "detector.pth", "--enable", "onset", "-o", "out", "--verify").code == 0
    for arguments in (("out",), ("out", "--run")):
        assert vampconv("inspect", *arguments).code == 0


def test_its_rules_bear_their_evidence(onset):
    for rule in onset(".rules").RULES:
        verdict = audit(rule)
        assert verdict.compared > 0
        assert verdict.refused > 0


def test_a_wrong_variant_is_caught(vampconv, onset, place, tree):
    (place / "mine").mkdir()
    (place / "mine" / "wrong.py").write_text(WRONG)
    wrong = ("--enable", "onset", "--rules", "mine")
    before = tree(place)
    ran = vampconv("convert", "detector.pth", *wrong, "--disable", "SplitGatedUnit", "--verify")
    assert ran.code == 5
    assert LINE.fullmatch(ran.err)
    assert tree(place) == before
    assert vampconv("convert", "detector.pth", *wrong, "--disable", "SplitGatedUnit", "-o", "out").code == 0
    checked = vampconv("verify", "out", *wrong, "--bisect", "--json", "found.json")
    assert checked.code == 5
    (part,) = json.loads((place / "found.json").read_text())["parts"]
    assert part["faults"][0]["value"].startswith("/blocks/0/gate/")
    assert part["faults"][0]["rules"] == ["GateByTheFirstHalf"]
    plugins = load_plugins(enable=["onset"], directories=[place / "mine"])
    (rule,) = (r for r in plugins.rules if r.__name__ == "GateByTheFirstHalf")
    with pytest.raises(RefutedError, match="passes the claimed"):
        audit(rule)
    assert onset().PLUGIN.rules[0] in plugins.rules


def test_a_file_never_makes_code_run(vampconv, onset, place, site, monkeypatch):  # noqa: ARG001
    assert vampconv("convert", "detector.pth", "--enable", "onset", "-o", "out").code == 0
    assert vampconv("verify", "out", "--enable", "onset", "--enable", "onsett").code == 2
    for name in [n for n in sys.modules if n.startswith("vampconv_onset")]:
        del sys.modules[name]
    ran = vampconv("verify", "out")
    assert ran.code == 7
    assert LINE.fullmatch(ran.err)
    assert "made with plugin onset (vampconv-onset 0.3.1)" in ran.err
    assert "give --enable onset" in ran.err
    assert "vampconv_onset" not in sys.modules
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p != str(site)])
    ran = vampconv("verify", "out", "--enable", "onset")
    assert ran.code == 7
    assert "install vampconv-onset 0.3.1" in ran.err
    del onset


def test_another_version_is_told(vampconv, onset, place):
    assert vampconv("convert", "detector.pth", "--enable", "onset", "-o", "out").code == 0
    content = manifest(place / "out")
    content["plugins"][1]["version"] = "0.2.0"
    (place / "out" / "vampconv.json").write_text(json.dumps(content))
    ran = vampconv("verify", "out", "--enable", "onset")
    assert ran.code == 5
    assert "onset 0.2.0" in ran.out
    del onset


def test_it_works_in_process(onset, place):
    plugin = onset().PLUGIN
    given = Plugin(plugin.rules, plugin.ops, plugin.frontends, subjects=plugin.subjects, name="mine")
    convert(Request([place / "detector.pth"], place / "out", plugins=[given]))
    entry = manifest(place / "out")["plugins"][1]
    assert (entry["name"], entry["version"], entry["rules"]) == ("mine", None, ["SplitGatedUnit"])
    found = verify(VerifyRequest(place / "out", [place / "detector.pth"], plugins=[given], layerwise=True))
    assert found.verdict == "pass"
    with pytest.raises(PluginError, match="made with plugin mine"):
        verify(VerifyRequest(place / "out", [place / "detector.pth"]))


def test_a_check_is_told_of_plugins_given_in_process(onset, place, tree):
    plugin = onset().PLUGIN
    given = Plugin(plugin.rules, plugin.ops, plugin.frontends, subjects=plugin.subjects, name="mine")
    convert(Request([place / "detector.pth"], place / "out", plugins=[given], check=quick))
    assert (place / "out" / "onset.onnx").is_file()
    (place / "mine").mkdir()
    (place / "mine" / "wrong.py").write_text(WRONG)
    before = tree(place)
    wrong = Request(
        [place / "detector.pth"], place / "worse", rule_directories=[place / "mine"],
        disable=["SplitGatedUnit"], plugins=[replace(given, name="ours")], check=quick,
    )  # fmt: skip
    with pytest.raises(VerificationError, match="the converted model is wrong: onset"):
        convert(wrong)
    assert tree(place) == before


def test_its_part_is_added_to_a_bundle_of_ours(vampconv, onset, place, workshop):
    workshop.pair()
    workshop.model(place)
    workshop.codec(place)
    assert vampconv("convert", "detector.pth", "coarse.pth", "--enable", "onset", "-o", "whole").code == 0
    assert vampconv("convert", "coarse.pth", "-o", "out").code == 0
    assert vampconv("convert", "detector.pth", "--enable", "onset", "-o", "out", "--add").code == 0
    assert manifest(place / "out") == manifest(place / "whole")
    assert vampconv("convert", "coarse.pth", "-o", "out", "--add", "--verify").code == 0
    assert manifest(place / "out")["models"].keys() == {"coarse", "onset"}
    assert manifest(place / "out")["plugins"] == manifest(place / "whole")["plugins"]
    del onset


@pytest.mark.usefixtures("onset", "place")
def test_two_detectors_are_too_many(vampconv, place):
    (place / "other.pth").write_bytes((place / "detector.pth").read_bytes())
    ran = vampconv("convert", "detector.pth", "other.pth", "--enable", "onset")
    assert ran.code == 2
    assert "gated onset detector" in ran.err
    assert vampconv("convert", "detector.pth", "--target", "toaster").code == 2


@pytest.mark.parametrize("entry", [7, {"name": "x"}, {"name": "x", "version": 1, "rules": 1, "kinds": []}])
def test_a_manifest_that_tells_nonsense_of_plugins(vampconv, onset, place, entry):
    assert vampconv("convert", "detector.pth", "--enable", "onset", "-o", "out").code == 0
    content = manifest(place / "out") | {"plugins": [entry]}
    (place / "out" / "vampconv.json").write_text(json.dumps(content))
    ran = vampconv("verify", "out", "--enable", "onset")
    assert ran.code == 6
    assert LINE.fullmatch(ran.err)
    del onset
