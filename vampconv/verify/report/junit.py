"""JUnit XML, as continuous integration systems read it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from xml.etree import ElementTree as ET

from vampconv.verify.report.summary import (
    aspects,
    by_module,
    is_empty,
    tell,
    tell_coverage,
    tell_fault,
    tell_non_finite,
    tell_tokens,
    where,
)
from vampconv.verify.report.text import count, plain
from vampconv.verify.result import Comparison, PartResult, Verdict, Verification

NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold."""


@dataclass(frozen=True)
class Test:
    """One testcase: what failed, a line each, and what else to tell."""

    name: str
    failed: Sequence[str] = ()
    output: str = ""
    skipped: bool = False


def as_junit(verification: Verification) -> str:
    """One testsuite for the bundle and one for each part.

    A part has a testcase for each module, which tells of its worst comparison, and one each for problems,
    coverage, tokens, weights, taps, non-finite values and faults, so far as they were looked at.
    """
    empty = [] if verification.parts else ["nothing was verified"]
    bundle = _suite("bundle", [Test("problems", [*verification.problems, *empty])], 0.0)
    facts = ET.Element("properties")
    for name, value in (*verification.environment.items(), *verification.inputs.items()):
        ET.SubElement(facts, "property", name=_xml(name), value=_xml(value))
    bundle.insert(0, facts)
    suites = [bundle, *(_suite(p.part, list(_tests(p)), p.seconds) for p in verification.parts)]
    root = ET.Element("testsuites", name="vampconv verify", time=f"{verification.seconds:.3f}")
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.attrib[key]) for suite in suites)))
    root.extend(suites)
    ET.indent(root)
    buffer = BytesIO()
    ET.ElementTree(root).write(buffer, encoding="utf-8", xml_declaration=True)
    return buffer.getvalue().decode() + "\n"


def _tests(part: PartResult) -> Iterator[Test]:
    for module, worst in by_module(part):
        yield _module(part, module, worst)
    yield Test("problems", [*part.problems, *(["nothing was compared"] * is_empty(part))])
    told = {
        "coverage": tell_coverage(part.coverage) if part.coverage else "",
        "tokens": tell_tokens(part.tokens) if part.tokens else "",
        "weights": count(len(part.weights), "weight"),
        "non-finite": "\n".join(tell_non_finite(n) for n in part.non_finite),
    }
    for name, failed in aspects(part).items():
        yield Test(name, failed or (), told.get(name, ""), skipped=failed is None)


def _module(part: PartResult, module: str, worst: Comparison) -> Test:
    told = f"{where(worst)}: {tell(worst)}"
    if worst.verdict is not Verdict.FAIL:
        return Test(module, output=f"WARN: {told}" if worst.verdict is Verdict.WARN else "")
    faults = [f"{f.value}: {tell_fault(f)}" for f in part.faults if f.module == worst.module]
    return Test(module, [told, *faults])


def _suite(name: str, tests: Sequence[Test], seconds: float) -> ET.Element:
    suite = ET.Element("testsuite", name=_xml(name), time=f"{seconds:.3f}", tests=str(len(tests)), errors="0")
    suite.set("failures", str(sum(bool(t.failed) for t in tests)))
    suite.set("skipped", str(sum(t.skipped for t in tests)))
    for test in tests:
        case = ET.SubElement(suite, "testcase", classname=_xml(f"vampconv.{name}"), name=_xml(test.name))
        if test.failed:
            more = f" (and {len(test.failed) - 1:,} more)" if len(test.failed) > 1 else ""
            failure = ET.SubElement(case, "failure", type="verification", message=_xml(test.failed[0] + more))
            failure.text = "\n".join(map(_xml, test.failed))
        if test.skipped:
            ET.SubElement(case, "skipped", message="not looked at")
        elif test.output:
            ET.SubElement(case, "system-out").text = "\n".join(map(_xml, test.output.splitlines()))
    return suite


def _xml(text: str) -> str:
    """A line that XML can hold."""
    return NOT_XML.sub("?", plain(text))
