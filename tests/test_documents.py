"""What the documents say is so: their rules pass the audit, their numbers are the code's."""

from __future__ import annotations

import re
import subprocess
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from vampconv import dialect, errors, rewrite
from vampconv.rewrite.audit import audit

from .common import ROOT


@pytest.mark.parametrize("document", ["README.md"])
def test_rules_in_documents_pass_the_audit(document):
    snippets = re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)
    assert snippets
    for snippet in snippets:
        names = {**vars(dialect), **vars(rewrite)}
        before = set(names)
        exec(snippet, names)
        rules = [v for k, v in names.items() if k not in before and isinstance(v, type)]
        rules += [names["StandardRMSNorm"]] if "class StandardRMSNorm" in snippet else []
        assert rules
        for rule in rules:
            assert audit(rule).compared > 0


def test_exit_codes_are_those_of_the_errors():
    readme = (ROOT / "README.md").read_text()
    table = readme[readme.index("## Errors") : readme.index("## Rules")]
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.VampconvError)]
    for code in {kind.code for kind in kinds}:
        assert re.search(rf"\| {code} \|", table), code


def test_try_and_test_lines_are_single_and_complete():
    readme = (ROOT / "README.md").read_text()
    for mark in ("try", "test"):
        block = re.search(rf"<!-- {mark} -->\n```sh\n(.*?)```", readme, re.DOTALL)
        assert block
        assert block[1].count("\n") == 1
        assert block[1].startswith("python3 -m venv .venv && ")


def requirements():
    """What pyproject.toml asks for, by package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values()]
    found = [Requirement(text) for texts in lists for text in texts]
    return [r for r in found if r.name != "vampconv"]


def test_the_lock_holds_what_the_project_asks_for():
    """Each package once, with one version, and no place where it is from."""
    text = (ROOT / "requirements-dev.lock").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    locked = {}
    for line in lines:
        name, version = re.fullmatch(r"([\w.-]+)==([\w.]+)", line).groups()
        assert locked.setdefault(canonicalize_name(name), version) == version
    assert len(locked) == len(lines)
    assert "://" not in text
    for wanted in requirements():
        assert wanted.specifier.contains(locked[canonicalize_name(wanted.name)]), wanted


def test_every_requirement_has_a_lower_bound_that_can_be_tested():
    """``.ci/oldest`` installs them; those of onnx and its kin change what is written, and have an upper one, too."""
    bounds = {canonicalize_name(r.name): {s.operator for s in r.specifier} for r in requirements()}
    assert all(">=" in operators for operators in bounds.values())
    for name in ("onnx", "onnx-ir", "onnxruntime", "onnxscript", "torch"):
        assert "<" in bounds[name], name


@pytest.mark.parametrize("script", ["run", "oldest", "lock"])
def test_scripts_are_sound(script):
    path = ROOT / ".ci" / script
    assert path.stat().st_mode & 0o111
    subprocess.run(["bash", "-n", path], check=True)
