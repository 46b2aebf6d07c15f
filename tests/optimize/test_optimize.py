"""Foreign models: what is known is raised, what is not stays, and the numbers are the same."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from vampconv.cli import cli
from vampconv.errors import BadInputError, InputOutputError, UsageError
from vampconv.optimize import Request, optimize
from vampconv.process import run

from . import models
from .running import optimized, random_feeds, run_model


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20, 23])
@pytest.mark.parametrize("square", ["Mul", "Pow"])
@pytest.mark.parametrize("reciprocal", ["Reciprocal", "Div"])
def test_a_decomposed_norm_is_raised_at_every_opset(tmp_path, opset, square, reciprocal):
    proto = models.rms_norm(opset=opset, square=square, reciprocal=reciprocal)
    found, result = optimized(proto, tmp_path)
    assert found.rules["RaiseRMSNorm"] == 1
    assert result.opset_import[0].version == found.opset == opset
    assert [e.domain for e in result.opset_import] == [""]
    feeds = random_feeds(proto)
    (before,), (after,) = run_model(tmp_path / "in.onnx", feeds), run_model(tmp_path / "out.onnx", feeds)
    np.testing.assert_allclose(after, before, rtol=1e-6, atol=1e-6)
    if opset >= 23:
        assert [n.op_type for n in result.graph.node] == ["RMSNormalization"]


@pytest.mark.parametrize("opset", [17, 18])
def test_a_norm_over_another_axis_is_left(tmp_path, opset):
    found, result = optimized(models.rms_norm(opset=opset, axis=1), tmp_path)
    assert found.rules == {}
    assert len(result.graph.node) == found.before.nodes == found.after.nodes


def test_a_value_that_is_an_output_as_well_is_kept(tmp_path):
    proto = models.rms_norm(outputs=[("y", None), ("mean", None)])
    found, result = optimized(proto, tmp_path)
    assert "RaiseRMSNorm" not in found.rules
    assert [o.name for o in result.graph.output] == ["y", "mean"]


def test_a_value_that_is_used_elsewhere_is_kept(tmp_path):
    proto = models.rms_norm(outputs=[("y", None), ("more", None)])
    proto.graph.node.append(helper.make_node("Neg", ["root"], ["more"]))
    found, _ = optimized(proto, tmp_path)
    assert "RaiseRMSNorm" not in found.rules


@pytest.mark.parametrize("name", models.VALID)
def test_nothing_valid_is_refused(tmp_path, name):
    proto = models.VALID[name]()
    found, result = optimized(proto, tmp_path)
    assert [i.name for i in result.graph.input] == [i.name for i in proto.graph.input]
    assert [o.name for o in result.graph.output] == [o.name for o in proto.graph.output]
    assert result.ir_version == proto.ir_version
    if name == "without_names":  # no runtime knows its ops: they are as they were, the unused one included
        assert [n.op_type for n in result.graph.node] == [n.op_type for n in proto.graph.node]
        assert result.graph.node[0].attribute[0].i == 3
        return
    feeds = random_feeds(proto)
    before, after = run_model(tmp_path / "in.onnx", feeds), run_model(tmp_path / "out.onnx", feeds)
    for a, b in zip(before, after, strict=True):
        if a.dtype.kind == "f":
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)
        else:
            assert a.tolist() == b.tolist()
    if name == "with_sparse":
        assert found.notes == ["left as it is: it holds sparse initializers"]


def test_an_input_with_a_default_is_no_constant(tmp_path):
    found, _ = optimized(models.with_default(), tmp_path)
    assert found.rules == {}
    feeds = {"x": np.ones((2, 4, 5), np.float32), "alpha": np.full((1, 4, 1), 2, np.float32)}
    (before,), (after,) = run_model(tmp_path / "in.onnx", feeds), run_model(tmp_path / "out.onnx", feeds)
    np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("opset", [6, 12])
def test_an_opset_older_than_the_rules_is_left(tmp_path, opset):
    proto = models.model(
        [helper.make_node("Relu", ["x"], ["y"])], [("x", [2])], [("y", [2])], opset=opset, ir_version=3
    )
    found, result = optimized(proto, tmp_path)
    assert found.notes == [f"left as it is: its opset is {opset}, and rules are for 13 and newer"]
    assert result == proto


def test_an_old_opset_is_converted_on_request(tmp_path):
    found, result = optimized(models.rms_norm(opset=17), tmp_path, opset=23)
    assert result.opset_import[0].version == found.opset == 23
    assert found.rules == {"RaiseRMSNorm": 1, "StandardRMSNorm": 1}


def test_external_data_lies_beside_the_output(tmp_path):
    inner = tmp_path / "a"
    inner.mkdir()
    proto = models.model(
        [helper.make_node("Mul", ["x", "w"], ["y"])],
        [("x", [400])], [("y", [400])], initializers=[("w", np.arange(400, dtype=np.float32))],
    )  # fmt: skip
    onnx.save_model(proto, inner / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0)
    for turn in range(3):
        found = optimize(Request(inner / "m.onnx", tmp_path / "out.onnx", force=turn > 0))
        assert len(found.files) == 2
        assert sorted(f.name for f in tmp_path.iterdir() if f.is_file()) == sorted(found.files)
        x = np.ones(400, np.float32)
        np.testing.assert_array_equal(run_model(tmp_path / "out.onnx", {"x": x})[0], np.arange(400))
    (inner / "w.bin").write_bytes(b"short")
    with pytest.raises(BadInputError, match=r"w\.bin, which holds w .* ends before byte 1600"):
        optimize(Request(inner / "m.onnx", tmp_path / "out.onnx", force=True))
    (inner / "w.bin").unlink()
    with pytest.raises(BadInputError, match=r"w\.bin, which holds w .* is missing"):
        optimize(Request(inner / "m.onnx", tmp_path / "new.onnx"))
    assert not (tmp_path / "new.onnx").exists()


@pytest.mark.parametrize("content", [b"", b"not a model", b"PK\x03\x04", bytes(100), b"\x08\x08"])
def test_what_is_no_model_is_refused(tmp_path, content):
    (tmp_path / "in.onnx").write_bytes(content)
    with pytest.raises(BadInputError, match="is not an ONNX model"):
        optimize(Request(tmp_path / "in.onnx", tmp_path / "out.onnx"))
    assert [f.name for f in tmp_path.iterdir()] == ["in.onnx"]


def test_an_output_that_is_there_is_kept_without_force(tmp_path):
    (tmp_path / "in.onnx").write_bytes(models.rms_norm().SerializeToString())
    (tmp_path / "out.onnx").write_text("mine")
    with pytest.raises(InputOutputError, match="is there already; use --force"):
        optimize(Request(tmp_path / "in.onnx", tmp_path / "out.onnx"))
    assert (tmp_path / "out.onnx").read_text() == "mine"
    with pytest.raises(UsageError, match="is a directory"):
        optimize(Request(tmp_path / "in.onnx", tmp_path))
    with pytest.raises(InputOutputError, match="is no directory"):
        optimize(Request(tmp_path / "in.onnx", tmp_path / "none" / "out.onnx"))
    with pytest.raises(InputOutputError, match="does not exist"):
        optimize(Request(tmp_path / "gone.onnx", tmp_path / "new.onnx"))


def test_a_failure_while_writing_leaves_the_old_file(tmp_path, monkeypatch):
    (tmp_path / "in.onnx").write_bytes(models.rms_norm().SerializeToString())
    (tmp_path / "out.onnx").write_text("mine")

    def fail(*_arguments, **_options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("vampconv.files.outputs.put", fail)
    with pytest.raises(InputOutputError, match="No space left"):
        optimize(Request(tmp_path / "in.onnx", tmp_path / "out.onnx", force=True))
    assert (tmp_path / "out.onnx").read_text() == "mine"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["in.onnx", "out.onnx"]


def test_a_model_is_optimised_in_place_and_twice_is_once(tmp_path):
    file = tmp_path / "in.onnx"
    file.write_bytes(models.rms_norm().SerializeToString())
    optimize(Request(file, file, force=True))
    once = file.read_bytes()
    optimize(Request(file, file, force=True))
    first, second = (model.graph.node for model in (onnx.load_from_string(once), onnx.load(file)))
    assert [n.op_type for n in first] == [n.op_type for n in second]


def test_a_raised_op_that_nothing_lowers_is_not_raised(tmp_path):
    found, result = optimized(models.rms_norm(), tmp_path, disable=("ClassicRMSNorm",))
    assert found.rules == {}
    assert found.notes == ["RaiseRMSNorm withheld: no enabled rule lowers vamp.RMSNorm"]
    assert len(result.graph.node) == found.before.nodes


def test_names_of_inner_graphs_are_not_taken(tmp_path):
    proto = models.with_if()
    for branch in proto.graph.node[-1].attribute:
        branch.g.node[0].output[0] = branch.g.output[0].name = "val_0"
    norm = models.rms_norm()
    nodes = [*norm.graph.node, *proto.graph.node]
    nodes[-1].output[0] = "w"
    both = models.model(nodes, [("x", [2, 3, 6])], [("y", None), ("w", None)])
    both.graph.initializer.extend([*norm.graph.initializer, *proto.graph.initializer])
    found, _ = optimized(both, tmp_path)
    assert found.rules["RaiseRMSNorm"] == 1
    feeds = random_feeds(both)
    for a, b in zip(
        run_model(tmp_path / "in.onnx", feeds), run_model(tmp_path / "out.onnx", feeds), strict=True
    ):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)


def test_a_constant_that_would_grow_is_not_folded(tmp_path):
    arrays = {"a": np.ones((300, 1), np.float32), "b": np.ones((1, 300), np.float32)}
    nodes = [helper.make_node("Mul", ["a", "b"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    proto = models.model(nodes, [("x", [300, 300])], [("y", [300, 300])], initializers=arrays.items())
    found, _ = optimized(proto, tmp_path)
    assert found.after.nodes == 2
    assert found.after.bytes < 10000


def test_random_operations_are_not_shared(tmp_path):
    nodes = [helper.make_node("RandomNormalLike", ["x"], [n]) for n in ("a", "b")]
    nodes.append(helper.make_node("Sub", ["a", "b"], ["y"]))
    _, result = optimized(models.model(nodes, [("x", [99])], [("y", [99])]), tmp_path)
    assert len(result.graph.node) == 3


@pytest.mark.parametrize("capped", ["Expand", "ConstantOfShape"])
def test_the_buckets_of_t5_are_raised(tmp_path, capped):
    proto = models.t5_bias(capped)
    found, result = optimized(proto, tmp_path)
    assert found.rules == {"RaiseT5Bias": 1, "LowerRelativePositionBias": 1}
    assert "Log" not in [n.op_type for n in result.graph.node]
    for steps in (1, 2, 13, 600):
        x = {"x": np.zeros((1, steps), np.float32)}
        (before,), (after,) = run_model(tmp_path / "in.onnx", x), run_model(tmp_path / "out.onnx", x)
        np.testing.assert_array_equal(before, after)


def test_the_command_says_what_it_did(tmp_path, capsys):
    source, output = tmp_path / "in.onnx", tmp_path / "out.onnx"
    source.write_bytes(models.rms_norm().SerializeToString())
    assert run(cli, ["optimize", str(source), "-o", str(output)]) == 0
    told = capsys.readouterr().out
    assert "8 nodes, now 6" in told or "7 nodes, now 6" in told
    assert "RaiseRMSNorm × 1" in told
    assert run(cli, ["optimize", str(source), "-o", str(output), "--force", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["rules"] == {"RaiseRMSNorm": 1, "ClassicRMSNorm": 1}
    assert facts["after"]["nodes"] == 6
    assert facts["files"] == ["out.onnx"]
    assert run(cli, ["optimize", str(source), "-o", str(output)]) == 6
    assert "is there already" in capsys.readouterr().err
    assert run(cli, ["optimize", str(source)]) == 2
    assert run(cli, ["optimize", str(source), "-o", str(output), "--disable", "RaiseRMSNrm", "--force"]) == 2
    assert "did you mean RaiseRMSNorm?" in capsys.readouterr().err


def test_no_raising_rule_runs_in_a_conversion():
    from vampconv.passes.pipeline import PIPELINE, Rewrite
    from vampconv.rewrite import Stage

    stages = [step.stage for step in PIPELINE if isinstance(step, Rewrite)]
    assert stages
    assert Stage.RAISE not in stages


def test_a_tensor_in_an_inner_graph_may_lie_elsewhere(tmp_path):
    proto = models.with_if()
    branch = proto.graph.node[-1].attribute[0].g
    branch.initializer.append(numpy_helper.from_array(np.arange(6, dtype=np.float32).reshape(2, 3), "inner"))
    branch.node[0].CopyFrom(helper.make_node("Add", ["h", "inner"], ["z"]))
    onnx.save_model(
        proto, tmp_path / "m.onnx", save_as_external_data=True, location="w.bin", size_threshold=0
    )
    (tmp_path / "b").mkdir()
    optimize(Request(tmp_path / "m.onnx", tmp_path / "b" / "out.onnx"))
    feeds = {"x": np.ones((2, 3), np.float32)}
    before, after = (run_model(tmp_path / f, feeds) for f in ("m.onnx", "b/out.onnx"))
    np.testing.assert_array_equal(before[0], after[0])
