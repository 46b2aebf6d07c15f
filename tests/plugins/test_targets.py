"""A target's own operations: they may remain where the target declares their domain, and nowhere else."""

from __future__ import annotations

import onnx
import pytest

from vampconv.convert import Request, convert
from vampconv.dialect import Ops
from vampconv.errors import PluginError
from vampconv.plugins import Plugin
from vampconv.rewrite import Exact, Rule, Sample, Stage
from vampconv.rewrite.target import Target

from ..common import GOLDEN, manifest

DOMAIN = "my.box"


class BoxSigmoid(Rule):
    """The box has a Sigmoid of its own."""

    stage, claim = Stage.TARGET, Exact()

    @staticmethod
    def before(op, x):
        return op.Sigmoid(x)

    @staticmethod
    def after(op, x):
        return Ops(op.emit, DOMAIN, op.take).Sigmoid(x)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time"))


def converted(tmp_path, target, *domains):
    plugin = Plugin([BoxSigmoid], targets=[Target("box", frozenset({"", *domains}))])
    convert(Request([GOLDEN / "wavebeat.pth"], tmp_path / "out", target=target, plugins=[plugin]))
    return onnx.load(tmp_path / "out" / "wavebeat.onnx")


def test_an_operation_of_the_target_remains(tmp_path):
    model = converted(tmp_path, "box", DOMAIN)
    (node,) = [n for n in model.graph.node if n.domain]
    assert (node.domain, node.op_type) == (DOMAIN, "Sigmoid")
    assert {e.domain: e.version for e in model.opset_import}[DOMAIN] == 1
    onnx.checker.check_model(str(tmp_path / "out" / "wavebeat.onnx"))
    facts = manifest(tmp_path / "out")["models"]["wavebeat"]
    assert (facts["target"], facts["rules"]["BoxSigmoid"]) == ("box", 1)


@pytest.mark.parametrize(("target", "domains"), [("portable", [DOMAIN]), ("box", []), ("box", ["my.other"])])
def test_an_operation_that_the_target_does_not_declare_is_refused(tmp_path, target, domains):
    with pytest.raises(PluginError, match=r"stage target leaves my\.box\.Sigmoid .* made by rule BoxSigmoid"):
        converted(tmp_path, target, *domains)
    assert not (tmp_path / "out").exists()
