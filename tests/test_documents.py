"""What the documents say is so: their rules pass the audit, their numbers are the code's."""

from __future__ import annotations

import re

import pytest

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
