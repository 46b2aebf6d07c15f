"""Verification of the sampling loops: right ones pass, wrong ones of many kinds do not."""

from __future__ import annotations

import shutil

import numpy as np
import onnx
import pytest
import torch

from vampconv.verify import loops
from vampconv.verify.loops import LoopVerifier
from vampconv.verify.result import PartResult, Verdict
from vampconv.verify.sampling import Draws, Loop, Settings
from vampconv.verify.side import Reference

from ..common import graphs, manifest


@pytest.fixture(scope="module")
def bundle(workshop):
    return workshop.bundle("coarse", "c2f", "codec")


def checks(golden, name, bundle, **loops):
    part = "c2f" if name == "c2f" else "coarse"
    entries = {n: e for n, e in manifest(bundle)["loops"].items() if e["of"] == part}
    reference = Reference(golden.subject(name), torch.float64)
    return list(LoopVerifier(bundle, reference, 1).run(entries | loops))


@pytest.mark.parametrize("name", ["coarse", "c2f"])
def test_right_loops(golden, bundle, name):
    found = checks(golden, name, bundle)
    assert [(c.wrong, c.problem) for c in found] == [(0, "")] * 2
    assert all(c.tokens > 200 for c in found)


@pytest.mark.parametrize(("name", "checkpoint"), [("film", "coarse_film"), ("ctrl", "coarse_ctrl")])
def test_right_loops_of_other_models(golden, workshop, name, checkpoint):
    found = checks(golden, name, workshop.bundle(checkpoint, "codec"))
    assert [(c.wrong, c.problem) for c in found] == [(0, "")] * 2


@pytest.mark.parametrize("spoilt", [False, True])
def test_what_float32_looks_for_is_judged_in_float64(golden, bundle, spoilt):
    """A wrong reference in float32 may choose other cases, and does not change the truth."""
    subject = golden.subject("coarse")
    near = Reference(subject, torch.float32)
    near.model.classifier.layers[0].bias.mul_(3 if spoilt else 1)
    entries = {n: e for n, e in manifest(bundle)["loops"].items() if e["of"] == "coarse"}
    found = list(LoopVerifier(bundle, Reference(subject, torch.float64), 1, near).run(entries))
    assert [(c.wrong, c.problem) for c in found] == [(0, "")] * 2


def test_without_a_clear_case_the_clearest_is_taken(golden, bundle, monkeypatch):
    monkeypatch.setattr(loops, "MARGIN", np.inf)
    monkeypatch.setattr(loops, "ATTEMPTS", 3)
    found = checks(golden, "coarse", bundle)
    assert [(c.wrong, c.tokens) for c in found] == [(0, 208)] * 2


def of_type(model, op_type):
    return [
        n for g in graphs(model.graph) for n in g.node if n.op_type == op_type and n.name.startswith("/loop")
    ]


def constant(model, array):
    name = f"changed{len(model.graph.initializer)}"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return name


def no_gumbel(model):
    """Confidence without noise."""
    add = next(n for n in reversed(of_type(model, "Add")) if "Mul" in n.input[1])
    add.input[1] = constant(model, np.float32(0))


def argmax_only(model):
    """No sampling at all, as in earlier ports."""
    for node in of_type(model, "LessOrEqual"):
        node.input[1] = constant(model, np.float32(-1))


def no_remasking(model):
    for node in of_type(model, "Less"):
        if node.input[0].endswith("output_0") and "Add" in node.input[0]:
            node.input[0] = node.input[1]


def loose_threshold(model):
    """What equals the threshold is masked, too."""
    for node in of_type(model, "Less"):
        if "Add" in node.input[0]:
            node.op_type = "LessOrEqual"


def linear_schedule(model):
    floor = of_type(model, "Floor")[0]
    mul = next(n for g in graphs(model.graph) for n in g.node if floor.input[0] in n.output)
    mul.input[0] = next(n.output[0] for n in of_type(model, "Div"))


def no_temperature(model):
    where = next(n for n in of_type(model, "Where") if "temperature" in n.input)
    where.input[1] = constant(model, np.float32(1))


def no_nucleus(model):
    less = next(n for n in of_type(model, "Less") if n.input[0] == "top_p")
    less.input[0] = constant(model, np.float32(2))


FAULTS = [no_gumbel, argmax_only, no_remasking, loose_threshold, linear_schedule, no_temperature, no_nucleus]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("file", ["vamp.onnx", "vamp_replay.onnx"])
def test_wrong_loops(golden, bundle, tmp_path, file, fault):
    shutil.copytree(bundle, tmp_path / "bundle")
    path = tmp_path / "bundle" / file
    model = onnx.load(path, load_external_data=False)
    before = model.SerializeToString(deterministic=True)
    fault(model)
    assert model.SerializeToString(deterministic=True) != before
    path.write_bytes(model.SerializeToString())
    found = {c.file: c for c in checks(golden, "coarse", tmp_path / "bundle")}
    assert found.pop(file).wrong > 0
    assert [c.wrong for c in found.values()] == [0]


def test_a_loop_that_cannot_be_run(golden, bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    (tmp_path / "bundle" / "vamp.onnx").write_bytes(b"no model")
    (tmp_path / "bundle" / "vamp_replay.onnx").unlink()
    found = checks(golden, "coarse", tmp_path / "bundle")
    assert all("cannot be run" in c.problem or "cannot run" in c.problem for c in found)
    result = PartResult("coarse", loops=found)
    assert result.verdict is Verdict.FAIL


def test_the_command(vampconv, bundle, workshop, tmp_path):
    shutil.copytree(bundle, tmp_path / "bundle")
    against = [a for n in ("coarse", "c2f", "codec") for a in ("--against", workshop.golden / f"{n}.pth")]
    sizes = ["--lengths", "1", "--batches", "1"]
    good = vampconv("verify", tmp_path / "bundle", *against, *sizes)
    assert good.code == 0, good.out
    assert "vamp.onnx: 208 of 208 tokens as in float64" in good.out


def test_truth_against_the_recordings(workshop):
    """The truth itself, fed with the recorded logits, gives the recorded tokens."""
    for name, conditioning in (("coarse_default", 0), ("coarse_cutoff", 0), ("c2f_default", 4)):
        found = workshop.recorded(f"generate_{name}")
        steps = sum(key.endswith("/logits") for key in found)
        logits = iter([found[f"step{i}/logits"].astype(np.float64) for i in range(steps)])
        shape = found["step0/exponential"].shape
        draws = Draws(
            np.stack([found.get(f"step{i}/exponential", np.ones(shape, np.float32)) for i in range(steps)]),
            np.stack([found[f"step{i}/gumbel"] for i in range(steps)]),
        )
        settings = Settings(steps, sample_cutoff=0.5 if name == "coarse_cutoff" else 1.0)
        loop = Loop(
            lambda _codes, _r, logits=logits: next(logits),
            found["codes"],
            found["mask"],
            64,
            conditioning,
            settings,
            draws,
        )
        np.testing.assert_array_equal(loop.run(), found["output"])
        assert loop.margin > 0
