"""``vampconv rules``: what it lists, shows, tests, begins and explains."""

from __future__ import annotations

import json
import sys

import pytest

from vampconv.plugins import builtin_rules
from vampconv.rewrite import Stage

from ..common import LINE

NAMES = [rule.__name__ for rule in builtin_rules()]


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def bundle(workshop):
    return workshop.bundle("coarse_film")


def test_list_has_every_rule_with_stage_claim_plugin(vampconv):
    content = json.loads(vampconv("rules", "list", "--json", "--disable", "LowerLinear").out)
    rows = {row["name"]: row for row in content["rules"]}
    assert sorted(rows) == sorted(NAMES)
    for rule in builtin_rules():
        row = rows[rule.__name__]
        assert (row["stage"], row["claim"]) == (rule.stage.label, str(rule.claim))
        assert row["plugin"].startswith("builtin (vampconv ")
        assert row["on"] is (rule.__name__ != "LowerLinear")
        assert row["doc"]
    stages = [stage.label for stage in Stage]
    order = [stages.index(row["stage"]) for row in content["rules"] if row["on"]]
    assert order == sorted(order)
    text = vampconv("rules", "list", "--disable", "LowerLinear").out
    assert all(name in text for name in NAMES)
    assert [line.split()[-1] for line in text.splitlines() if line.startswith("LowerLinear ")] == ["off"]


def test_an_installed_plugin_is_listed_and_not_imported(vampconv, place, monkeypatch):
    site = place / "site"
    (site / "bomb-2.5.dist-info").mkdir(parents=True)
    (site / "bomb-2.5.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bomb\nVersion: 2.5\n")
    (site / "bomb-2.5.dist-info" / "entry_points.txt").write_text("[vampconv.rules]\nboom = bomb_of_rules\n")
    (site / "bomb_of_rules.py").write_text("raise RuntimeError('imported')\n")
    monkeypatch.syspath_prepend(site)
    ran = vampconv("rules", "list")
    assert (ran.code, ran.err) == (0, "")
    assert "plugin boom (bomb 2.5) is installed; --enable boom uses it" in ran.out
    assert "bomb_of_rules" not in sys.modules
    idle = json.loads(vampconv("rules", "list", "--json").out)["not enabled"]
    assert idle == [{"name": "boom", "module": "bomb_of_rules", "distribution": "bomb", "version": "2.5"}]
    ran = vampconv("rules", "list", "--enable", "boom")
    assert ran.code == 7
    assert "boom" in ran.err
    assert "boom" in vampconv("rules", "show", "NoSuchRule").err


@pytest.mark.parametrize("name", NAMES)
def test_every_rule_can_be_shown(vampconv, name):
    content = json.loads(vampconv("rules", "show", name, "--json").out)
    rule = next(r for r in builtin_rules() if r.__name__ == name)
    assert content["before"]
    assert content["after"]
    assert content["file"].endswith(".py")
    assert content["line"] > 1
    assert len(content["evidence"]) >= 1
    for guard in content["guards"]:
        assert guard["condition"], guard
        assert guard["declines"], guard
    ran = vampconv("rules", "show", name)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{name}: stage {rule.stage.label}")
    assert (
        any(op in ran.out for op in ("vamp.", "Conv", "MatMul"))
        or rule.stage is Stage.RAISE
        or rule.precision
    )
    assert f"{content['file']}:{content['line']}" in ran.out


def test_a_rule_is_drawn_as_it_reads(vampconv):
    content = json.loads(vampconv("rules", "show", "LowerUnitSnake", "--json").out)
    assert content["before"] == ["vamp.UnitSnake", "└─ x"]
    assert content["after"] == ["Add", "├─ x", "└─ Mul", "   ├─ #1 Sin", "   │  └─ x", "   └─ ↑ #1 Sin"]


@pytest.mark.parametrize("command", ["show", "test"])
def test_an_unknown_rule_has_a_near_name(vampconv, command):
    ran = vampconv("rules", command, "LowerLinaer")
    assert (ran.code, ran.out) == (2, "")
    assert LINE.fullmatch(ran.err)
    assert "did you mean LowerLinear?" in ran.err


def test_testing_one_rule(vampconv):
    (row,) = json.loads(vampconv("rules", "test", "LowerUnitSnake", "--json").out)
    assert (row["rule"], row["refuted"]) == ("LowerUnitSnake", "")
    assert row["compared"] > 0
    assert 0 < row["largest_error"] < 1e-4
    assert row["seconds"] > 0
    ran = vampconv("rules", "test", "LowerUnitSnake")
    assert (ran.code, ran.err) == (0, "")
    assert "holds" in ran.out
    assert "Close(rtol=1e-06, atol=1e-06)" in ran.out


@pytest.mark.parametrize("name", ["FasterNorm", "X", "HTTPNorm2", "NormOfRMS"])
def test_a_new_rule_passes_unchanged(vampconv, place, name):
    ran = vampconv("rules", "new", name, "mine")
    assert (ran.code, ran.err) == (0, "")
    (file,) = (place / "mine").glob("*.py")
    assert ran.out == f"wrote {file.relative_to(place)}\n"
    ran = vampconv("rules", "test", "mine")
    assert (ran.code, ran.err) == (0, "")
    assert f"{name} " in ran.out
    text = file.read_text()
    assert vampconv("rules", "new", name, "mine").code == 6
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("name", "told"),
    [("faster", "capitals"), ("Two Words", "capitals"), ("../Up", "capitals"), ("LowerLinear", "already")],
)
def test_names_that_no_rule_can_have(vampconv, tree, place, name, told):
    ran = vampconv("rules", "new", name, "mine")
    assert ran.code == 2
    assert told in ran.err
    assert tree(place) == {}


def test_a_directory_that_cannot_be_made(vampconv, place):
    (place / "file").touch()
    ran = vampconv("rules", "new", "Mine", "file/inside")
    assert ran.code == 6
    assert LINE.fullmatch(ran.err)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("1 / m.size", "2 / m.size", "passes the claimed"),
        ("op.ReduceSum(", "op.NoSuchOp(", "NoSuchOp"),
        ("        yield Refused", "        return\n        yield Refused", "no sample for its guard"),
        ("yield Sample(", "yield 1 / 0, Sample(", "its code raised ZeroDivisionError"),
        ("eps=1e-6)\n", "epsilon=1e-6)\n", "the sample gives x, weight, epsilon"),
        ("squares = ", "raise SystemExit(0)\n        squares = ", "SystemExit"),
    ],
)
def test_a_refuted_rule_ends_with_7_and_the_reason(vampconv, place, old, new, told):
    vampconv("rules", "new", "Mine", "mine")
    file = place / "mine" / "mine.py"
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))
    ran = vampconv("rules", "test", "mine")
    assert ran.code == 7
    assert "REFUTED" in ran.out
    assert LINE.fullmatch(ran.err), ran.err
    assert "Mine is refuted" in ran.err
    assert told in ran.err
    vampconv("rules", "new", "Sound", "mine")
    ran = vampconv("rules", "test", "mine", "--json")
    assert ran.code == 7
    assert {row["rule"]: bool(row["refuted"]) for row in json.loads(ran.out)} == {
        "Mine": True,
        "Sound": False,
    }


def explained(vampconv, bundle, name):
    ran = vampconv("rules", "explain", bundle, name, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out)


def test_explaining_a_node(vampconv, bundle):
    (row,) = explained(vampconv, bundle, "/transformer/layers/0/self_attn/w_qs/MatMul")
    assert (row["kind"], row["where"], row["op"]) == ("node", "coarse.onnx", "MatMul")
    assert row["module"] == "transformer.layers.0.self_attn.w_qs"
    assert row["values"] == ["transformer.layers.0.self_attn.w_qs"]
    (rule,) = row["rules"]
    assert rule["name"] == "LowerLinear"
    assert rule["doc"] == "``Linear(x, weight)`` is ``x · weightᵀ``."
    assert rule["file"].endswith("linear.py")
    (weight,) = row["weights"]
    stem = "coarse_film.pth:transformer.layers.0.self_attn.w_qs"
    assert weight["sources"] == [f"{stem}.weight", f"{stem}.lora_B", f"{stem}.lora_A"]
    (value,) = explained(vampconv, bundle, row["outputs"][0])
    assert (value["kind"], value["rules"]) == ("value", row["rules"])


def test_explaining_weights_tensors_modules_and_inputs(vampconv, bundle):
    weight, tensor = explained(vampconv, bundle, "transformer.layers.0.self_attn.w_qs.weight")
    assert [weight["kind"], tensor["kind"]] == ["weight", "checkpoint tensor"]
    assert [r["name"] for r in weight["rules"]] == ["MergeLoRA", "LowerLinear"]
    assert weight["nodes"] == ["/transformer/layers/0/self_attn/w_qs/MatMul"]
    assert tensor["fate"] == "used"
    assert tensor["nodes"] == ["coarse.onnx:/transformer/layers/0/self_attn/w_qs/MatMul"]
    (alone,) = explained(vampconv, bundle, "coarse_film.pth:transformer.layers.0.self_attn.w_qs.weight")
    assert alone == tensor
    (module,) = explained(vampconv, bundle, "coarse:transformer.layers.0.norm_1")
    assert [r["name"] for r in module["rules"]] == ["ClassicRMSNorm"]
    assert len(module["nodes"]) > 3
    assert [row["kind"] for row in explained(vampconv, bundle, "codes")] == ["input"]
    (idle,) = explained(vampconv, bundle, "decoder.model.0.weight_g")
    assert (idle["fate"], idle["where"]) == ("not requested", "codec.pth")


def test_everything_of_a_bundle_can_be_explained(vampconv, bundle):
    import onnx_ir as ir

    graph = ir.load(bundle / "coarse.onnx").graph
    for node in list(graph)[::7]:
        ran = vampconv("rules", "explain", bundle, node.name)
        assert (ran.code, ran.err) == (0, "")
        assert ran.out.startswith(f"node {node.name} ({node.op_type}) of coarse.onnx\n")
    for name in list(graph.initializers)[::9]:
        assert vampconv("rules", "explain", bundle, name).out.startswith("weight ")


def test_explaining_what_is_not_there(vampconv, bundle, place):
    ran = vampconv("rules", "explain", bundle, "transformer.layers.0.self_attn.w_qs.weigth")
    assert (ran.code, ran.out) == (2, "")
    assert LINE.fullmatch(ran.err)
    assert "did you mean transformer.layers.0.self_attn.w_qs.weight" in ran.err
    assert vampconv("rules", "explain", place, "x").code == 6
    assert vampconv("rules", "explain", bundle, "c2f:codes").code == 2
