"""Whose fault it is: the first layer that is wrong by itself, the rule that made it so, and a reproduction."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest

from vampconv.convert import Request as Conversion
from vampconv.convert import convert
from vampconv.frontend import vampnet
from vampconv.verify import bisect
from vampconv.verify.repro import write_repro
from vampconv.verify.result import Fault, Verdict
from vampconv.verify.verify import Request, verify

from ..common import GOLDEN
from .tagged import load

HEAD = """
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage
CLOSE = Close(rtol=1e-5, atol=1e-6)
"""
FORGETFUL = """
class ForgetfulRMSNorm(Rule):
    stage, claim = Stage.LOWER, CLOSE

    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)

    @staticmethod
    def after(op, x, weight, eps):
        mean = op.ReduceMean(op.Mul(x, x), axes=[-1], keepdims=1)
        return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, FACTOR * eps))), weight)

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 64), weight=draw(64), eps=1e-6)
"""
EXCHANGED = """
class ExchangedGate(Rule):
    stage, claim = Stage.LOWER, CLOSE

    @staticmethod
    def before(op, x):
        return vamp(op).GatedGELU(x)

    @staticmethod
    def after(op, x, m):
        half = m.size("x", -1) // 2
        gate, value = op.Split(x, [half, half], axis=-1, outputs=2)
        inner = op.Mul(op.Add(gate, op.Mul(op.Mul(op.Mul(gate, gate), gate), 0.044715)), 0.7978845608028654)
        return op.Mul(value, op.Mul(op.Mul(gate, 0.5), op.Add(op.Tanh(inner), 1.0)))

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 8))
"""
SQUARED = """
from vampconv_rules.snake import FoldSnakeScales

class SquaredAlpha(FoldSnakeScales):
    @staticmethod
    def after(
        op, x, weight, bias, strides, dilations, pads, alpha,
        out_weight, out_bias, out_strides, out_dilations, out_pads,
    ):
        square = op.Mul(alpha, alpha)
        scaled = op.Mul(weight, op.Reshape(square, [-1, 1, 1])), op.Mul(bias, op.Reshape(square, [-1]))
        inner = op.Conv(x, *scaled, strides=strides, dilations=dilations, pads=pads)
        waves, unscaled = vamp(op).UnitSnake(inner), op.Div(out_weight, alpha)
        return op.Conv(waves, unscaled, out_bias, strides=out_strides, dilations=out_dilations, pads=out_pads)
"""
UNSQUARED = """
from vampconv_rules.snake import LowerUnitSnake

class UnsquaredSine(LowerUnitSnake):
    @staticmethod
    def after(op, x):
        return op.Add(x, op.Sin(x))
"""
SHIFTED = """
from vampconv_rules.convolution import ConvOverImage

class ShiftedConv(ConvOverImage):
    @staticmethod
    def after(op, x, weight, bias, strides, dilations, pads):
        begin, end = pads
        return ConvOverImage.after(op, x, weight, bias, strides, dilations, [begin + 1, end - 1])
"""
MEANLESS = """
from vampconv_rules.batch_norm import FoldBatchNorm

class MeanlessBatchNorm(FoldBatchNorm):
    @staticmethod
    def after(op, x, weight, bias, strides, dilations, pads, gamma, beta, mean, variance, eps):
        nothing = op.Mul(mean, 0.0)
        return FoldBatchNorm.after(
            op, x, weight, bias, strides, dilations, pads, gamma, beta, nothing, variance, eps
        )
"""
FOLDS = ["FoldSnakeScales", "FoldSnakeOutputScale"]
GATE_AND_NORM = ["ClassicGatedGELU", "ClassicRMSNorm"]


class Bench:
    """Converts with rules of one's own and verifies the result."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.bundle, self.repros = place / "bundle", place / "repros"
        self.rules: list[Path] = []

    def convert(self, name, text="", disable=(), **options):
        if text:
            self.rules = [self.place / "rules"]
            self.rules[0].mkdir()
            (self.rules[0] / "own.py").write_text(HEAD + text)
        if name == "c2f":
            options["codec"] = GOLDEN / "codec.pth"
        request = Conversion(
            [GOLDEN / f"{name}.pth"], self.bundle, rule_directories=self.rules, disable=disable, **options
        )
        convert(request)
        return self

    def verify(self, **options):
        """The parts, by name."""
        options = {"lengths": [13], "batches": [1], "bisect": True, "threads": 1, **options}
        request = Request(self.bundle, [GOLDEN], repros=self.repros, rule_directories=self.rules, **options)
        found = verify(request)
        assert found.verdict is Verdict.FAIL
        return {part.part: part for part in found.parts}

    def edit(self, change, part="c2f"):
        """Change the graph of a part."""
        path = self.bundle / f"{part}.onnx"
        model = load(path)
        change(model.graph)
        path.write_bytes(model.SerializeToString())
        return self


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def ran(repro):
    """What the script of a reproduction prints."""
    command = [sys.executable, "-W", "error", Path(repro) / "repro.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    (error,) = re.fullmatch(r"relative L2 error: (\S+)\n", done.stdout).groups()
    return float(error)


def check_repro(repro):
    """All of it is there, and the model is sound; the error that it shows."""
    folder = Path(repro)
    assert sorted(p.name for p in folder.iterdir()) == [
        "expected.npy",
        "inputs.npz",
        "region.onnx",
        "repro.py",
    ]
    onnx.checker.check_model(folder / "region.onnx", full_check=True)
    session = onnxruntime.InferenceSession(folder / "region.onnx", providers=["CPUExecutionProvider"])
    with np.load(folder / "inputs.npz") as inputs:
        assert sorted(inputs) == sorted(port.name for port in session.get_inputs())
        (found,) = session.run(None, dict(inputs))
    expected = np.load(folder / "expected.npy")
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    return float(np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1))


def all_guilty(part, rule):
    """Names of what is faulty; the rule must be proven to be the cause of each."""
    for fault in part.faults:
        assert (fault.rules, fault.proven) == ((rule,), True)
        assert fault.cause == f"without {rule} it is right"
    return [fault.stands_for for fault in part.faults]


NORMS = [*(f"transformer.layers.{i}.{n}" for i in range(2) for n in ("norm_1", "norm_3")), "transformer.norm"]


def test_a_norm_that_forgets_its_epsilon(bench):
    bench.convert("c2f", FORGETFUL.replace("FACTOR", "0"), ["ClassicRMSNorm"])
    part = bench.verify()["c2f"]
    assert all_guilty(part, "ForgetfulRMSNorm") == NORMS
    assert any(p.startswith("transformer.layers.0.norm_1 is wrong by itself") for p in part.problems)
    assert part.verdict is Verdict.FAIL
    assert [Path(f.repro) for f in part.faults] == [bench.repros / f"c2f-{n}" for n in NORMS]
    assert check_repro(part.faults[0].repro) > 0.1
    assert ran(part.faults[0].repro) > 0.1


def test_an_epsilon_that_only_small_inputs_show(bench):
    """Neither a value nor a region shows it at its ordinary scale; the rule is found and the reproduction shows it."""
    bench.convert("c2f", FORGETFUL.replace("FACTOR", "0.95"), ["ClassicRMSNorm"])
    part = bench.verify()["c2f"]
    assert {c.verdict for c in part.comparisons} == {Verdict.PASS}
    assert all_guilty(part, "ForgetfulRMSNorm") == NORMS
    for fault in part.faults:
        assert check_repro(fault.repro) > 1e-3


def test_a_gate_with_its_halves_exchanged(bench):
    bench.convert("c2f", EXCHANGED, ["ClassicGatedGELU"])
    part = bench.verify()["c2f"]
    wanted = [f"transformer.layers.{i}.feed_forward.act" for i in range(2)]
    assert all_guilty(part, "ExchangedGate") == wanted
    assert part.faults[0].error > 0.1
    assert check_repro(part.faults[0].repro) == pytest.approx(part.faults[0].error, rel=1e-3)
    assert any(c.verdict is Verdict.FAIL for c in part.comparisons)


ENCODER = {"parts": ["encoder"]}
UNITS = [f"encoder.block.{i}.block.{j}.block.3" for i in (1, 2) for j in range(3)]


def test_a_fold_of_another_stage_among_many_rules(bench):
    """Rules of all stages made the region; one of them is guilty."""
    part = bench.convert("codec_odd", SQUARED, FOLDS).verify(**ENCODER)["encoder"]
    first, *others = part.faults
    assert (first.stands_for, first.rules, first.proven) == (UNITS[0], ("SquaredAlpha",), True)
    assert set(UNITS) <= {first.stands_for, *(f.stands_for for f in others)}
    assert {f.rules for f in others} == {("SquaredAlpha",)}  # the quantizer is right, for what it is given
    assert check_repro(first.repro) == pytest.approx(first.error, rel=1e-3)


def test_a_rule_is_guilty_only_if_the_same_region_is_right_without_it(bench):
    """Without the folds the graph has more values of the reference, and yet the region is not read in parts."""
    part = bench.convert("codec_odd", UNSQUARED, ["LowerUnitSnake"]).verify(**ENCODER)["encoder"]
    faults = [f for f in part.faults if f.stands_for in UNITS]
    assert [f.stands_for for f in faults] == UNITS
    for fault in faults:
        assert fault.proven
        assert "UnsquaredSine" in fault.rules
        assert "FoldSnakeScales" not in fault.rules  # without it, FoldSnakeOutputScale leads to the same


def test_two_rules_that_are_wrong_in_one_region(bench):
    bench.convert("wavebeat", SHIFTED + MEANLESS, ["ConvOverImage", "FoldBatchNorm"])
    faults = bench.verify()["wavebeat"].faults
    assert [f.stands_for for f in faults][:2] == ["blocks.0.norm1", "blocks.0.res_norm"]
    assert (faults[0].cause, faults[0].proven) == ("without any rule it is right", True)
    assert {"ShiftedConv", "MeanlessBatchNorm"} <= set(faults[0].rules)
    assert (faults[1].rules, faults[1].proven) == (("MeanlessBatchNorm",), True)


def test_a_rule_of_the_last_stage(bench):
    """What it matches has its shape from inference alone."""
    part = bench.convert("wavebeat", SHIFTED, ["ConvOverImage"]).verify()["wavebeat"]
    assert all_guilty(part, "ShiftedConv") == [f"blocks.{i}.norm1" for i in range(8)]


def test_faults_beyond_those_that_are_looked_into(bench, monkeypatch):
    monkeypatch.setattr(bisect, "MOST", 2)
    part = bench.convert("c2f", EXCHANGED + FORGETFUL.replace("FACTOR", "9"), GATE_AND_NORM).verify()["c2f"]
    assert len(part.faults) == 7
    assert [f.proven for f in part.faults] == [True] * 2 + [False] * 5
    assert all((f.cause, f.repro) == ("", "") for f in part.faults[2:])
    assert {f.rules for f in part.faults} == {("ForgetfulRMSNorm",), ("ExchangedGate",)}
    assert len(list(bench.repros.iterdir())) == 2


def epsilon(graph, name, value):
    """Let the norm of a module have another epsilon."""
    for node in graph.node:
        if any(p.value == name for p in node.metadata_props):
            (attribute,) = [a for a in node.attribute if a.name == "epsilon"]
            attribute.f = value


def test_a_file_that_was_tampered_with(bench):
    name = "transformer.layers.1.norm_1"
    bench.convert("c2f", opset=23).edit(lambda graph: epsilon(graph, name, 0.5))
    (fault,) = bench.verify()["c2f"].faults
    assert (fault.stands_for, fault.module, fault.proven) == (name, name, True)
    assert fault.cause == "the file is not what the conversion makes of the checkpoint"
    assert fault.rules == ("StandardRMSNorm",)
    assert check_repro(fault.repro) > 0.01


def test_a_file_that_was_tampered_with_as_only_small_inputs_show(bench):
    bench.convert("c2f", opset=23).edit(lambda graph: epsilon(graph, "transformer.norm", 0.9e-6))
    (fault,) = bench.verify()["c2f"].faults
    assert fault.stands_for == "transformer.norm"
    assert fault.cause == "the file is not what the conversion makes of the checkpoint"
    assert check_repro(fault.repro) > 1e-3


def test_weights_that_were_tampered_with(bench):
    bench.convert("c2f")
    data = bench.bundle / "c2f.onnx.data"
    name = "transformer.layers.0.feed_forward.w_2"
    tensors = {t.name: t for t in load(bench.bundle / "c2f.onnx").graph.initializer}
    place = {e.key: e.value for e in tensors[f"{name}.weight"].external_data}
    with data.open("r+b") as file:
        file.seek(int(place["offset"]))
        file.write(np.float32(9).tobytes())
    part = bench.verify()["c2f"]
    assert [f.stands_for for f in part.faults] == [name]
    assert part.faults[0].cause == "the file is not what the conversion makes of the checkpoint"
    assert [w.name for w in part.weights if w.verdict is not Verdict.PASS] == [f"{name}.weight"]
    assert check_repro(part.faults[0].repro) == pytest.approx(part.faults[0].error, rel=1e-3)


def test_a_graph_that_is_wrong_before_any_rule(bench, monkeypatch):
    monkeypatch.setattr(vampnet, "EPS", 1e-2)
    part = bench.convert("c2f").verify()["c2f"]
    assert [f.stands_for for f in part.faults] == NORMS
    assert {f.cause for f in part.faults} == {"it is wrong before any rule is applied"}
    assert {f.rules for f in part.faults} == {("ClassicRMSNorm",)}


def test_a_right_bundle_has_no_faults_and_no_reproductions(bench):
    bench.convert("c2f")
    found = verify(
        Request(bench.bundle, [GOLDEN], lengths=[13], batches=[1], bisect=True, repros=bench.repros)
    )
    assert found.verdict is Verdict.PASS
    assert found.parts[0].faults == []
    assert not bench.repros.exists()


REGIONS = [
    ("c2f", ">embedding.out_proj"),
    ("c2f", "transformer.layers.0.norm_3"),
    ("c2f", "transformer.layers.1"),
    ("c2f", "."),
    ("film", "transformer.layers.0.film_1"),
    ("film", ">transformer#1"),
    ("ctrl", "ctrl_encoder"),
    ("odd encoder", "quantizer.quantizers.1#1"),
    ("odd encoder", "encoder.block.1.block.0.block.3"),
    ("odd decoder", ">decoder"),
    ("odd decoder", "decoder.model.1.block.1"),
    ("wavebeat", ".#1"),
]


@pytest.mark.parametrize(("name", "stands_for"), REGIONS)
def test_a_reproduction_of_what_is_right_shows_nothing(golden, tmp_path, name, stands_for):
    verifier = golden.verifier(name)
    place = next(p for p in verifier.regions() if p.stands_for[0][0] == stands_for)
    fault = Fault(place.name, stands_for, place.module, 0.0, (), proven=False)
    folder = Path(write_repro(verifier.regions(), verifier.path, fault, tmp_path))
    assert folder.parent == tmp_path
    assert re.fullmatch(r"[\w.-]+", folder.name)
    assert check_repro(folder) <= 1e-6
    region = load(folder / "region.onnx").graph
    assert len(region.node) < len(verifier.model.graph.node)
    assert {p.value for n in region.node for p in n.metadata_props} <= {
        p.value for n in verifier.model.graph.node for p in n.metadata_props
    }


def test_a_reproduction_with_other_inputs(golden, tmp_path):
    verifier = golden.verifier("c2f")
    regions, truth = verifier.regions(), verifier.truth
    place = next(p for p in regions if p.stands_for[0][0] == "transformer.norm")
    example = regions.small(place, truth.record, truth.reference.model)
    fault = Fault(place.name, "transformer.norm", place.module, 0.0, (), proven=False)
    folder = Path(write_repro(regions, verifier.path, fault, tmp_path, example))
    assert check_repro(folder) <= 1e-6
    (border,) = regions.borders(place)
    with np.load(folder / "inputs.npz") as inputs:
        np.testing.assert_allclose(inputs[border], example[0][border])
        assert np.abs(inputs[border]).max() < 0.01


def test_a_reproduction_runs_anywhere_and_is_replaced(golden, tmp_path):
    verifier = golden.verifier("c2f")
    place = next(p for p in verifier.regions() if p.stands_for[0][0] == "transformer.norm")
    fault = Fault(place.name, "transformer.norm", place.module, 0.0, (), proven=False)
    folder = Path(write_repro(verifier.regions(), verifier.path, fault, tmp_path / "a" / "b"))
    before = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert write_repro(verifier.regions(), verifier.path, fault, tmp_path / "a" / "b") == str(folder)
    assert before.keys() == {p.name for p in folder.iterdir()}
    moved = shutil.move(folder, tmp_path / "moved here")
    np.save(Path(moved) / "expected.npy", np.load(Path(moved) / "expected.npy") * 0)
    assert ran(moved) > 1
