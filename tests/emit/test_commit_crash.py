"""A crash at any system call, a kill at any time, and many writers at once: one whole bundle, no litter."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vampconv.emit.commit import recover, staged
from vampconv.emit.exchange import _renameat2
from vampconv.emit.standing import MANIFEST
from vampconv.errors import InputOutputError

from .toy import listing, word

CHILD = """
import json, os, sys, time
from pathlib import Path
from vampconv.emit import exchange
from vampconv.emit.commit import staged
from vampconv.emit.standing import MANIFEST
from vampconv.errors import InputOutputError

output, word, system, die_at, options, wait = sys.argv[1:]
calls = 0

def counted(real):
    def call(*arguments, **keywords):
        global calls
        calls += 1
        if calls == int(die_at):
            os._exit(99)
        return real(*arguments, **keywords)
    return call

if system == "journal":
    exchange._renameat2 = None
names = ("coarse.onnx", "coarse.onnx.data", word + ".onnx")
try:
    with staged(Path(output), **json.loads(options)) as staging:
        for name in names:
            (staging / name).write_text(word + " " + name)
        entries = {name: {"by": word} for name in names}
        if "keep_manifested" in options and (Path(output) / MANIFEST).exists():
            entries = json.loads((Path(output) / MANIFEST).read_text())["files"] | entries
        (staging / MANIFEST).write_text(json.dumps({"word": word, "files": entries}))
        if wait != "0":
            print("ready", flush=True)
            time.sleep(float(wait))
        if die_at != "0":
            for name in ("fsync", "open", "rename", "unlink", "rmdir", "mkdir", "chmod", "close", "write"):
                setattr(os, name, counted(getattr(os, name)))
            if exchange._renameat2:
                exchange._renameat2 = counted(exchange._renameat2)
except InputOutputError as error:
    print(error.line())
    sys.exit(error.code)
"""


def start(
    output: Path, word: str, *, system="exchange", die_at=0, wait=0.0, **options
) -> subprocess.Popen[str]:
    arguments = [str(output), word, system, str(die_at), json.dumps(options), str(wait)]
    return subprocess.Popen([sys.executable, "-c", CHILD, *arguments], stdout=subprocess.PIPE, text=True)


def run(output: Path, word: str, **options) -> int:
    with start(output, word, **options) as child:
        child.communicate(timeout=60)
    return child.returncode


def make(output: Path, made: str, **options: bool) -> None:
    with staged(output, **options) as staging:
        (staging / "coarse.onnx").write_text(f"{made} coarse.onnx")
        files = {"coarse.onnx": {"by": made}}
        (staging / MANIFEST).write_text(json.dumps({"word": made, "files": files}))


@pytest.mark.parametrize(
    ("system", "options"),
    [("exchange", {"force": True}), ("journal", {"force": True}), ("exchange", {"keep_manifested": True})],
)
def test_crash_at_every_step(tmp_path, system, options):
    if system == "exchange" and _renameat2 is None:
        pytest.skip("no renameat2 here")
    found = []
    for step in range(1, 200):
        output = tmp_path / str(step) / "out"
        make(output, "old")
        code = run(output, "new", system=system, die_at=step, **options)
        assert code in (0, 99)
        if system == "exchange":
            assert word(output) in ("old", "new"), "whole even before the recovery"
        recover(output)
        assert listing(output.parent) == ["out"]
        found.append(word(output))
        make(output, "newer", force=True)
        assert word(output) == "newer"
        assert listing(output.parent) == ["out"]
        if code == 0:
            break
    assert code == 0
    assert found == sorted(found, reverse=True), "old up to some step, new from there on"
    assert {"old", "new"} == set(found)
    assert step > 15


def test_crash_at_every_step_of_a_first_conversion(tmp_path):
    for step in range(1, 200):
        output = tmp_path / str(step) / "out"
        code = run(output, "new", die_at=step)
        whole = output.exists()
        assert not whole or word(output) == "new"
        make(output, "newer", force=True)
        assert word(output) == "newer"
        assert listing(output.parent) == ["out"]
        if code == 0:
            break
    assert code == 0
    assert whole


def crash_between_the_renames(parent: Path) -> Path:
    """A system without exchange, dead while nothing stands at the output."""
    for step in range(1, 200):
        output = parent / str(step) / "out"
        make(output, "old")
        assert run(output, "new", system="journal", die_at=step, force=True) == 99
        if not output.exists():
            return output
    pytest.fail("no such step")


def test_recovery_meets_something_in_the_way(tmp_path):
    """What a user put at the output meanwhile is not lost, nor are the bundles."""
    output = crash_between_the_renames(tmp_path)
    output.mkdir()
    (output / "song.wav").write_text("la")
    before = sorted(path for path in output.parent.rglob("*") if path.is_file())
    for _ in range(2):
        with pytest.raises(InputOutputError, match=r"earlier bundle is kept in .*move .* out of the way"):
            make(output, "newer", force=True)
    assert {path for path in output.parent.rglob("*") if path.is_file()} - {*before} == set()
    output.rename(tmp_path / "elsewhere")
    recover(output)
    assert word(output) == "new"
    assert listing(output.parent) == ["out"]


def test_recovery_without_the_new_bundle_takes_the_old(tmp_path):
    output = crash_between_the_renames(tmp_path)
    journal = output.parent / ".out.vampconv-journal"
    (output.parent / json.loads(journal.read_text())["staging"]).rename(tmp_path / "lost")
    recover(output)
    assert word(output) == "old"
    assert listing(output.parent) == ["out"]


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "null", '{"staging": 1, "aside": 2}', '{"staging": "../victim", "aside": "../victim"}'],
)
def test_torn_or_forged_journal_is_dropped(tmp_path, text):
    make(tmp_path / "p/out", "old")
    make(tmp_path / "victim", "victim")
    (tmp_path / "p/.out.vampconv-journal").write_text(text)
    recover(tmp_path / "p/out")
    assert listing(tmp_path / "p") == ["out"]
    assert word(tmp_path / "p/out") == "old"
    assert word(tmp_path / "victim") == "victim"


def test_leftovers_of_other_outputs_stay(tmp_path):
    others = [
        ".out.vampconv-x.vampconv-0123456789abcdef",
        ".out2.vampconv-0123456789abcdef",
        ".out.vampconv-mine",
    ]
    for name in others:
        (tmp_path / name).mkdir()
    (tmp_path / ".out.vampconv-0123456789abcdef").mkdir()
    make(tmp_path / "out", "new")
    assert listing(tmp_path) == sorted([*others, "out"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_killed_while_building(tmp_path, number):
    output = tmp_path / "out"
    with start(output, "new", wait=60) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        child.send_signal(number)
    assert not output.exists()
    assert len(listing(tmp_path)) == 2, "a staging directory and its lock"
    make(output, "next")
    assert listing(tmp_path) == ["out"]


def test_live_run_is_not_disturbed(tmp_path):
    output = tmp_path / "out"
    with start(output, "slow", wait=2, force=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        recover(output)
        make(output, "fast")
        assert word(output) == "fast"
        assert len(listing(tmp_path)) == 3
    assert child.returncode == 0
    assert word(output) == "slow"
    assert listing(tmp_path) == ["out"]


@pytest.mark.parametrize("system", ["exchange", "journal"])
@pytest.mark.parametrize("force", [False, True])
def test_many_at_once(tmp_path, system, force):
    output = tmp_path / "a/b/out"
    children = [start(output, f"w{n}", system=system, wait=0.5, force=force) for n in range(8)]
    seen = set()
    while any(child.poll() is None for child in children):
        if system == "exchange" and not force and output.exists():
            seen.add(word(output))
        time.sleep(0.002)
    for child in children:
        child.communicate()
    codes = sorted(child.returncode for child in children)
    assert codes == ([0] * 8 if force else [0] + [6] * 7)
    assert seen <= {word(output)}
    assert listing(output.parent) == ["out"]


def test_many_crashing_at_once(tmp_path):
    output = tmp_path / "out"
    make(output, "old")
    children = [
        start(output, f"w{n}", system="journal", wait=0.2, die_at=die_at, force=True)
        for n, die_at in enumerate((0, 9, 17, 23, 29, 33, 37, 41))
    ]
    for child in children:
        child.communicate()
    assert {child.returncode for child in children} <= {0, 99}
    recover(output)
    assert word(output) == "old" or word(output).startswith("w")
    assert listing(tmp_path) == ["out"]
