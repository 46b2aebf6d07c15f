"""Every rule that is installed, against its own evidence; and the door by which rules come in."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

import onnx
import onnxruntime
import pytest

import vampconv
from vampconv.rewrite import Close, Draw, Exact, Refused, Stage
from vampconv.rewrite.audit import SIZES, audit
from vampconv.rewrite.execute import REFUSALS
from vampconv.rewrite.plugins import GROUP, installed_rules

RULES = installed_rules()
NAMES = [rule.__name__ for rule in RULES]


def runs(opset):
    """Whether both ONNX and ONNX Runtime take a model of this opset."""
    value = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])], "probe", [value("x", 1, [1])], [value("y", 1, [1])]
    )
    model = onnx.helper.make_model(graph, ir_version=10, opset_imports=[onnx.helper.make_opsetid("", opset)])
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnx.checker.check_model(model)
        onnxruntime.InferenceSession(model.SerializeToString(), options)
    except REFUSALS:
        return False
    return True


def newest():
    return next(n for n in range(onnx.defs.onnx_opset_version(), 0, -1) if runs(n))


@pytest.mark.parametrize("opset", sorted({17, 18, 20, 23, newest()}))
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_evidence_bears_the_rule_out(rule, opset):
    verdict = audit(rule, opsets=(opset,))
    assert verdict.compared >= len(SIZES)


def test_the_newest_opset_is_found():
    assert newest() >= 23
    assert not runs(onnx.defs.onnx_opset_version() + 1)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_says_what_it_does_how_exactly_and_when(rule):
    assert rule.__doc__ is not None
    assert rule.summary().endswith((".", ".``"))
    assert isinstance(rule.stage, Stage)
    assert isinstance(rule.claim, Close | Exact)
    if isinstance(rule.claim, Close):
        assert 0 <= rule.claim.rtol <= 1e-5
        assert 0 <= rule.claim.atol <= 2e-5
    assert callable(rule.evidence)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_samples_are_drawn_the_same_twice_and_differ_among_each_other(rule):
    first, second = (
        [
            {k: v.tobytes() for k, v in s.arguments.items() if hasattr(v, "tobytes")}
            for s in rule.evidence(draw)
        ]
        for draw in (Draw(SIZES[1], 3), Draw(SIZES[1], 3))
    )
    assert first == second
    other = [s.arguments for s in rule.evidence(Draw(SIZES[1], 4))]
    assert len(other) == len(first)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_symbolic_dimension_of_the_evidence_takes_several_sizes(rule):
    draw = Draw(SIZES[0])
    samples = [s for s in rule.evidence(draw) if not isinstance(s, Refused)]
    assert draw.used <= set(SIZES[0])
    assert all(len({size[name] for size in SIZES}) == len(SIZES) for name in draw.used)
    assert samples
    assert draw.used & {"time", "long", "batch"} or rule.__name__ in ("MergeLoRA", "FoldWeightNorm")


def test_rules_are_named_once_and_come_from_the_plugin():
    assert len(set(NAMES)) == len(NAMES)
    assert {rule.__module__.split(".")[0] for rule in RULES} == {"vampconv_rules"}
    (builtin,) = (e for e in entry_points(group=GROUP) if e.name == "builtin")
    assert tuple(RULES) == builtin.load().RULES


def test_nothing_in_vampconv_imports_the_rules():
    package = Path(vampconv.__file__).parent
    files = list(package.rglob("*.py"))
    assert len(files) > 20
    assert [
        f"{f}: {name}" for f in files for name in imported(f) if name in ("vampconv_rules", "rules")
    ] == []


def test_rules_import_only_what_a_plugin_may():
    import vampconv_rules

    allowed = {"__future__", "collections", "math", "typing", "numpy", "vampconv", "vampconv_rules", ""}
    files = list(Path(vampconv_rules.__file__).parent.glob("*.py"))
    assert {name for f in files for name in imported(f)} <= allowed
    modules = {m for f in files for m in imported(f, whole=True) if m.startswith("vampconv.")}
    assert {m.split(".")[1] for m in modules} <= {"dialect", "rewrite"}


def imported(file, *, whole=False):
    """Names of the modules that a file imports, by its syntax; their first part unless `whole`."""
    for node in ast.walk(ast.parse(file.read_text())):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""] if not node.level else []
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            if called in ("import_module", "__import__") and isinstance(node.args[0], ast.Constant):
                names = [str(node.args[0].value)]
        yield from (name if whole else name.split(".")[0] for name in names)
