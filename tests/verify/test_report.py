"""Reports of synthetic verifications: complete, honest, well-formed, and safe to open."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import subprocess
import sys
from dataclasses import fields, is_dataclass, replace
from functools import cache
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from xml.etree import ElementTree as ET

import jsonschema
import numpy as np
import pytest
from rich.console import Console

from vampconv.errors import InputOutputError
from vampconv.verify import result
from vampconv.verify.report import as_html, as_json, show, write_html, write_json, write_junit
from vampconv.verify.report.json_report import SCHEMA
from vampconv.verify.report.summary import failures, verdict
from vampconv.verify.result import Fault, HeadRoom, NonFinite, Tokens, Verdict, Verification

from .report_records import ALL, CASES, HOSTILE, NAMES, empty, failing, hostile, not_finite, part, passing
from .report_records import verification as of

every = pytest.mark.parametrize("name", ALL)
LIMIT = 3_000_000
VERDICTS = {
    "pass": "pass",
    "warn": "warn",
    "fail": "fail",
    "not finite": "fail",
    "empty": "fail",
    "hostile": "fail",
    "large": "fail",
}


@pytest.fixture(scope="module")
def schema():
    content = json.loads(SCHEMA.read_text())
    jsonschema.Draft202012Validator.check_schema(content)
    return content


class Page(HTMLParser):
    """Tags with their attributes, and the text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.text += " " * (tag != "wbr")

    def handle_data(self, data):
        self.text += data

    def all(self, attribute):
        return [attributes[attribute] for _, attributes in self.tags if attribute in attributes]


@cache
def page(name: str) -> tuple[str, Page]:
    """The page of a verification, and what is in it."""
    html = as_html(ALL[name]())
    return html, Page(html)


def junit(verification: Verification, tmp_path: Path) -> ET.Element:
    write_junit(verification, tmp_path / "junit.xml")
    return ET.parse(tmp_path / "junit.xml").getroot()


def terminal(verification: Verification, **options) -> str:
    console = Console(file=StringIO(), width=200)
    show(console, verification, **options)
    return console.file.getvalue()


# What all of them say


@every
def test_all_reports_agree(name, tmp_path):
    verification = ALL[name]()
    wanted = VERDICTS[name]
    assert verdict(verification) == wanted
    assert bool(failures(verification)) == (wanted == "fail")
    assert as_json(verification)["verdict"] == wanted
    assert f'<header class="verdict {wanted}">' in page(name)[0]
    assert terminal(verification).splitlines()[-1].startswith(wanted.upper())
    assert (int(junit(verification, tmp_path).get("failures")) > 0) == (wanted == "fail")


def untold():
    """Records that fail although no verdict and no problem says so."""
    coverage = replace(part(layers=1).coverage, unaccounted=("lost",))
    yield "nothing was compared", result.PartResult("coarse")
    yield "lost", replace(part(layers=1), coverage=coverage)
    yield "3 tokens REAL", replace(part(layers=1), tokens=Tokens(9, 6, 0, 3))
    yield "tapped", replace(part(layers=1), taps_agree=False)
    yield "a cause", replace(part(layers=1), faults=[Fault("v", "", "m", 1.0, (), False, "a cause")])
    yield "not finite", replace(part(layers=1), non_finite=[NonFinite("graph", "v", "m", CASES[0])])


@pytest.mark.parametrize(("told", "bad"), list(untold()), ids=lambda v: v if isinstance(v, str) else "")
def test_nothing_fails_silently(told, bad, tmp_path):
    verification = of(bad)
    assert as_json(verification)["parts"][0]["verdict"] == "fail"
    assert any(told in failure.message for failure in failures(verification))
    assert told in terminal(verification)
    assert told in as_html(verification)
    messages = [f.get("message") for f in junit(verification, tmp_path).iter("failure")]
    assert any(told in m for m in messages)


def test_what_is_not_finite_on_both_sides_is_no_failure():
    sides = [NonFinite(side, "v", "m", CASES[0]) for side in ("graph", "reference")]
    assert verdict(of(replace(part(layers=1), non_finite=sides))) is Verdict.PASS


def test_failures_come_worst_first():
    found = failures(failing())
    assert [f.is_value for f in found] == [False] * 3 + [True] * (len(found) - 3)
    ratios = [float(re.search(r"ratio ([\d,.]+)", f.message)[1].replace(",", "")) for f in found[3:]]
    assert ratios == sorted(ratios, reverse=True)
    assert "NaN where the reference has none" in failures(not_finite())[1].message


@pytest.mark.parametrize("write", [write_json, write_junit, write_html])
def test_a_file_that_cannot_be_written(write, tmp_path):
    with pytest.raises(InputOutputError, match="cannot be written"):
        write(empty(), tmp_path / "missing" / "report")


@every
def test_deterministic(name):
    assert as_html(ALL[name]()) == page(name)[0]


def test_the_same_in_another_process(tmp_path):
    code = "import sys; from pathlib import Path; from tests.verify.report_records import failing\n"
    code += "from vampconv.verify.report import *\n"
    code += "[w(failing(), Path(p)) for w, p in zip((write_html, write_json, write_junit), sys.argv[1:])]"
    hashes = []
    for seed in ("1", "2"):
        paths = [tmp_path / f"{seed}.{kind}" for kind in ("html", "json", "xml")]
        root = Path(__file__).parents[2]
        subprocess.run(
            [sys.executable, "-c", code, *paths],
            cwd=root,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=True,
        )
        hashes.append([hashlib.sha256(path.read_bytes()).hexdigest() for path in paths])
    assert hashes[0] == hashes[1]


# JSON


@pytest.mark.parametrize("name", sorted(ALL.keys() - {"large"}))
def test_json_follows_its_schema(name, schema, tmp_path):
    path = tmp_path / "report.json"
    write_json(ALL[name](), path)

    def refuse(constant):
        raise AssertionError(constant)

    content = json.loads(path.read_text(), parse_constant=refuse)
    jsonschema.Draft202012Validator(schema).validate(content)
    assert content["format"] == 1


def test_json_holds_every_record_and_names_what_is_not_finite():
    verification = not_finite()
    content = as_json(verification)
    rows = content["parts"][0]["comparisons"]
    assert len(rows) == len(verification.parts[0].comparisons)
    for row, comparison in zip(rows, verification.parts[0].comparisons, strict=True):
        for field in ("error_ort", "worst_found", "ratio"):
            held, wanted = float(row[field]), getattr(comparison, field)
            assert held == wanted or (math.isnan(held) and math.isnan(wanted))
    assert (rows[2]["error_ort"], rows[9]["error_ort"]) == ("nan", "inf")
    assert content["parts"][0]["heat_maps"]["layers.0.self_attn.out"] == [["nan", 1e-3], [0.0, "inf"]]


def test_the_schema_describes_every_field(schema):
    described = [set(schema["properties"])]
    for definition in schema["$defs"].values():
        for one in (definition, *definition.get("oneOf", ())):
            described.append(set(one.get("properties", ())))
            assert set(one.get("required", ())) <= described[-1]
    computed = {"format", "verdict", "ratio", "share"}
    records = [r for r in vars(result).values() if is_dataclass(r)]
    assert len(records) >= 11
    for record in records:
        names = {f.name for f in fields(record)}
        assert any(names <= d <= names | computed for d in described), record


def test_json_of_numpy_numbers_and_of_what_it_cannot_hold():
    verification = of(part(layers=1))
    first = verification.parts[0].comparisons[0]
    verification.parts[0].comparisons[0] = replace(
        first, error_ort=np.float64("nan"), shape=tuple(np.arange(3)), verdict=Verdict.FAIL
    )
    row = as_json(verification)["parts"][0]["comparisons"][0]
    assert (row["error_ort"], row["shape"]) == ("nan", [0, 1, 2])
    verification.environment = {"path": Path()}
    with pytest.raises(TypeError, match="Path"):
        as_json(verification)


# JUnit


@every
def test_junit_counts_agree(name, tmp_path):
    verification = ALL[name]()
    root = junit(verification, tmp_path)
    assert len(root) == 1 + len(verification.parts)
    for suite in (*root, root):
        cases = list(suite.iter("testcase"))
        assert int(suite.get("tests")) == len(cases)
        for key, tag in (("failures", "failure"), ("skipped", "skipped")):
            assert int(suite.get(key)) == sum(case.find(tag) is not None for case in cases)
    for suite, found in zip(root[1:], verification.parts, strict=True):
        modules = {c.module for c in found.comparisons}
        aspects = [case.get("name") for case in suite.iter("testcase")][len(modules) :]
        assert aspects == ["problems", "coverage", "tokens", "weights", "taps", "non-finite", "faults"]


def test_junit_tells_what_is_wrong(tmp_path):
    root = junit(failing(), tmp_path)
    found = {case.get("name"): case.find("failure") for case in root[1].iter("testcase")}
    module = "transformer.layers.11.self_attn"
    message = found[module].get("message")
    for word in (f"{module}.out", "error ", "bound ", "[1, 12, 63]", "batch 2, length 13, seed 1"):
        assert word in message
    assert "without FusedAttention it is right" in found[module].text
    assert found["transformer.layers.10.self_attn"] is None
    assert "138" in found["tokens"].get("message")
    assert "layers.11.lost" in found["coverage"].get("message")
    assert "layers.1.bias" in found["weights"].get("message")
    assert found["taps"] is None
    assert found["problems"].text.count("\n") == 1
    skipped = [c.get("name") for c in root[2].iter("testcase") if c.find("skipped") is not None]
    assert skipped == ["coverage", "tokens", "weights", "taps"]


# HTML


@every
def test_html_refers_to_nothing_outside(name):
    html, content = page(name)
    assert len(html.encode()) < LIMIT
    tags = {tag for tag, _ in content.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "form", "use", "image"}
    assert not [key for _, attributes in content.tags for key in attributes if key.startswith("on")]
    assert all(address.startswith(("data:image/png;base64,", "./")) for address in content.all("src"))
    assert not any(":" in address for address in content.all("src") if address.startswith("./"))
    assert all(address.startswith("#") for address in content.all("href"))
    assert {address[1:] for address in content.all("href")} <= set(content.all("id"))
    assert len(set(content.all("id"))) == len(content.all("id"))
    assert not {"srcset", "action", "poster", "background", "xlink:href"} & {
        k for _, a in content.tags for k in a
    }
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import|https?:", style)
    assert "default-src 'none'" in html


@every
def test_html_is_accessible(name):
    _, content = page(name)
    assert [a["alt"] for tag, a in content.tags if tag == "img"] == [a for a in content.all("alt") if a]
    assert all(a["role"] == "img" and a["aria-label"] for tag, a in content.tags if tag == "svg")
    assert all(a["aria-label"] for tag, a in content.tags if tag == "audio")
    assert [tag for tag, _ in content.tags].count("h1") == 1
    assert {"lang": "en"} in [a for _, a in content.tags]


def test_html_escapes_hostile_names():
    html, content = page("hostile")
    known = {tag for name in ("pass", "fail", "not finite") for tag, _ in page(name)[1].tags}
    assert {tag for tag, _ in content.tags} <= known
    assert HOSTILE not in html
    for wanted in (HOSTILE, NAMES[1], NAMES[3], NAMES[5]):
        assert wanted in content.text
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f\u202a-\u202e\ud800-\udfff]", html)


def test_html_tells_everything():
    text = " ".join(page("fail")[1].text.split())
    for wanted in (
        "Failing in 1 of 2 parts: 67 of 166 values, 1 of 80 weights, 2 further checks.",
        "wrong by 3.10e-03 although its inputs are right; without FusedAttention it is right",
        "The first of 67 failing values in the order of the graph",
        "repro/coarse-0",
        "The 20 worst modules",
        "All 160 modules, in the order of the graph",
        "inside Attention, fused by ONNX Runtime (19)",
        "dropped: NoOpFiLM: no condition (1)",
        "overridden: by fine-tune.pth (1)",
        "131 dB",
        "onnxruntime 1.31.1",
        "12" * 32,
    ):
        assert wanted in text, wanted
    assert "./sounds/decoder%20reference.wav" in page("pass")[1].all("src")


def test_html_of_a_large_model_is_small():
    html, _ = page("large")
    assert len(html) < LIMIT // 2
    assert "All 3,000 modules" in html
    assert html.count("<circle") < 100


# Terminal


def test_terminal_summary():
    text = terminal(passing())
    assert re.search(r"coarse .* 160 .* 10,238/2/0 .* 80 of 80 .* PASS", text)
    assert "FAIL" not in text


def test_what_was_not_measured_is_a_dash_and_no_zero():
    """Errors of torch in values that the reference has not, where they pass."""
    found = passing()
    lines = as_html(found).count('class="dots torch"'), terminal(found, layerwise=True).count("–")
    found.parts[0].comparisons[:] = [replace(c, error_torch=None) for c in found.parts[0].comparisons]
    assert (terminal(found, layerwise=True).count("–")) > lines[1] + 100
    page = as_html(found)
    assert 'class="dots torch" stroke-width="5.0" d=""' in page
    assert page.count('class="dots torch"') == lines[0]
    assert as_json(found)["parts"][0]["comparisons"][0]["error_torch"] is None
    jsonschema.validate(as_json(found), json.loads(SCHEMA.read_text()))


def test_terminal_tells_of_float16_and_whose_a_nan_is():
    rooms = [HeadRoom("v", "layers.3", 131008.0), HeadRoom("w", "layers.2", 5.0)]
    nans = [NonFinite(side, "v", "layers.3", CASES[0]) for side in ("graph", "reference in float32")]
    text = terminal(of(replace(part(), head_room=rooms, non_finite=nans)))
    assert (
        "coarse: the largest magnitude is 1.31e+05, in layers.3: 200 % of what float16 can hold; 1 value beyond it"
        in text
    )
    assert text.count("not finite coarse: v in layers.3 is the first that is not finite: ") == 2
    assert "first that is not finite: reference in float32 (" in text
    assert verdict(of(replace(part(), non_finite=nans))) is Verdict.FAIL
    assert verdict(of(replace(part(), non_finite=nans[1:]))) is Verdict.PASS


def test_the_first_layer_at_fault_is_in_the_headline():
    faults = [Fault("v", "layers.3", "layers.3", 2.0, ("Loose",), proven=True)]
    assert "FAIL: Failing: 1 check. First at fault: coarse, layers.3, by Loose." in terminal(
        of(replace(part(), faults=faults))
    )


def test_terminal_lists_the_worst_failures():
    text = terminal(failing())
    lines = text.splitlines()
    assert sum(line.startswith("FAIL coarse: ") for line in lines) == 20
    assert "and 50 more failures" in lines
    assert any(line.startswith("fault coarse: transformer.layers.11.self_attn.out") for line in lines)
    assert "79 of 80, 3 ulps" in text


def test_terminal_layerwise():
    text = terminal(failing(), layerwise=True)
    rows = [
        line
        for line in text.splitlines()
        if re.search(r"│ transformer\.layers\.\S+ +│ +\d\.\d\de-\d\d ", line)
    ]
    assert len(rows) == 160
    assert any("layers.11.self_attn " in row and "FAIL" in row and "[1, 12, 63]" in row for row in rows)
    assert len(terminal(failing()).splitlines()) < 40


def test_terminal_shows_hostile_names_as_they_are():
    text = terminal(hostile(), layerwise=True)
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "[bold]m[/]arkup[/red]" in text
