"""Every rule that is installed, against its own evidence; and the door by which rules come in."""

from __future__ import annotations

import ast
from importlib.metadata import entry_points
from pathlib import Path

import pytest

import vampconv
from vampconv.plugins import GROUP, builtin_rules
from vampconv.rewrite import Close, Draw, Exact, Near, Refused, Stage
from vampconv.rewrite.audit import SIZES, audit

from ..common import OPSETS

RULES = builtin_rules()
NAMES = [rule.__name__ for rule in RULES]
CONSTANT = (
    "MergeLoRA",
    "FoldWeightNorm",
    "FoldRequantization",
    "RaiseWeightNorm",
    "RaiseScaledUnits",
    "RaiseUnitRows",
)
"""Rules of weights alone, whose sizes are those of the model."""


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_the_evidence_bears_the_rule_out(rule, opset):
    verdict = audit(rule, opsets=(opset,))
    assert verdict.compared >= len(SIZES)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_a_rule_says_what_it_does_how_exactly_and_when(rule):
    assert rule.__doc__ is not None
    assert rule.__doc__.splitlines()[0].endswith((".", ".``"))
    assert isinstance(rule.stage, Stage)
    assert isinstance(rule.claim, Close | Exact if rule.precision is None else Near | Exact)
    if isinstance(rule.claim, Near):
        assert 0 < rule.claim.share <= {"fp16": 1e-3, "int8": 0.02, "int4": 0.2}[rule.precision]
    if isinstance(rule.claim, Close):
        assert 0 <= rule.claim.rtol <= 1e-5
        assert 0 <= rule.claim.atol <= 2e-5
    assert callable(rule.evidence)


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_samples_are_the_same_for_one_seed_and_others_for_another(rule):
    first, again, other = (
        [
            {k: v.tobytes() for k, v in s.arguments.items() if hasattr(v, "tobytes")}
            for s in rule.evidence(Draw(SIZES[1], seed))
        ]
        for seed in (3, 3, 4)
    )
    assert first == again
    assert len(other) == len(first)
    assert other != first


@pytest.mark.parametrize("rule", RULES, ids=NAMES)
def test_every_symbolic_dimension_of_the_evidence_takes_several_sizes(rule):
    draw = Draw(SIZES[0])
    samples = [s for s in rule.evidence(draw) if not isinstance(s, Refused)]
    assert draw.used <= set(SIZES[0])
    assert all(len({size[name] for size in SIZES}) == len(SIZES) for name in draw.used)
    assert samples
    assert draw.used & {"time", "long", "batch"} or rule.__name__ in CONSTANT


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
