"""rules/README.md does what it says: its blocks are run, in order, and what it shows is what comes out."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass

import pytest

from ..common import ROOT

BLOCK = re.compile(r"(?:<!-- file: (?P<file>\S+) -->\n)?```(?P<language>\w*)\n(?P<text>.*?)```", re.DOTALL)
README = (ROOT / "rules" / "README.md").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Step:
    """A command and what is shown of its output; lines of ``…`` stand for any lines, ``…`` in one for any text."""

    command: str
    shown: str


def steps(text):
    """The commands of a console block."""
    for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Step(command, shown)


def squeezed(text):
    """Text without differences that only padding makes."""
    return "\n".join(re.sub(r" {2,}", "  ", line).rstrip() for line in text.strip().splitlines())


def pattern(shown):
    """What the output, each of its lines ended, must match."""
    lines = squeezed(shown).splitlines()
    return re.compile("".join(r"(?:.*\n)*" if line == "…" else f"{_line(line)}\n" for line in lines))


def _line(line):
    return ".*".join(re.escape(piece).replace(r"\ \ ", " +") for piece in line.split("…"))


def fits(shown, output):
    return pattern(shown).fullmatch(f"{squeezed(output)}\n" if output.strip() else "")


@pytest.fixture
def shell(tmp_path):
    """Runs a command in a directory of its own; pip installs into a place beside it."""
    tools, site = tmp_path / "tools", tmp_path / "site"
    tools.mkdir()
    flags = f"--quiet --no-deps --no-index --no-build-isolation --disable-pip-version-check --target {site}"
    for name, line in (
        ("vampconv", f'exec {sys.executable} -m vampconv "$@"'),
        ("pip", f'test "$1" = install && shift && exec {sys.executable} -m pip install {flags} "$@"'),
    ):
        (tools / name).write_text(f"#!/bin/sh\n{line}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "work").mkdir()
    env = os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "PYTHONPATH": str(site),
        "VAMPCONV": str(ROOT),
        "COLUMNS": "160",
        "LC_ALL": "C.UTF-8",
    }
    options = {"cwd": tmp_path / "work", "env": env, "text": True, "check": False, "timeout": 120}

    def run(command):
        return subprocess.run(
            ["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options
        )

    run.place = tmp_path / "work"
    return run


def test_everything_in_it_is_so(shell):
    commands = 0
    for block in BLOCK.finditer(README):
        if block["file"]:
            file = shell.place / block["file"]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(block["text"], encoding="utf-8")
            continue
        assert block["language"] == "console", block["text"]
        for step in steps(block["text"]):
            ran = shell(step.command)
            code = re.search(r"vampconv: error\[(\d+)\]", step.shown)
            assert ran.returncode == (int(code[1]) if code else 0), (step.command, ran.stdout)
            assert fits(step.shown, ran.stdout), f"{step.command}\n{ran.stdout}"
            commands += 1
    assert commands >= 12
    assert README.count("```") == 2 * len(list(BLOCK.finditer(README)))


def test_a_wrong_readme_would_be_found():
    assert fits("a  … c\n…\nz", "a      b c\nanything\nmore\nz")
    assert fits("", "")
    for shown, output in (
        ("a b", "a c"),
        ("x\n…", "y\nx"),
        ("a … c", "a\nc"),
        ("", "something"),
        ("a", "a\nb"),
    ):
        assert not fits(shown, output)
