"""A seeded share of the crashes, and what would be found if the writer were worse."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vampconv.bench.crashes import unflushed
from vampconv.bench.system_calls import Call, Fault, supported, watch

from ..common import GOLDEN

CASES = ("convert", "convert-force-journal", "convert-add", "vamp-tokens", "optimize-data", "verify")
pytestmark = pytest.mark.skipif(not supported(), reason="calls cannot be watched here")


def test_a_share_of_the_crashes():
    """In a process of its own: PyTorch's threads do not survive a fork."""
    chosen = [argument for case in CASES for argument in ("--case", case)]
    command = [
        sys.executable,
        "-m",
        "vampconv.bench.crashes",
        GOLDEN,
        "--trials",
        "2",
        "--seed",
        "8",
        *chosen,
    ]
    ran = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.endswith("12 runs, 0 failed\n")
    for kind in ("SIGKILL", "EIO", "ENOSPC", "SIGINT", "SIGTERM"):
        assert kind in ran.stdout


def write_two(place: Path) -> int:
    """A bad writer."""
    (place / "a").write_text("new")
    os.rename(place / "a", place / "b")  # noqa: PTH104
    (place / "gone").unlink(missing_ok=True)
    return 3


def test_calls_are_seen_and_made_to_fail(tmp_path):
    ended = watch(lambda: write_two(tmp_path), tmp_path)
    assert (ended.code, ended.met) == (3, False)
    assert [str(call).replace(str(tmp_path), "") for call in ended.calls] == [
        "openat /a",
        "write /a",
        "rename /a /b",
        "unlink /gone",
    ]
    assert (tmp_path / "b").read_text() == "new"
    (tmp_path / "b").unlink()
    ended = watch(lambda: write_two(tmp_path), tmp_path, Fault(2, "SIGKILL"))
    assert (ended.code, ended.met, len(ended.calls)) == (-9, True, 2)
    assert (tmp_path / "a").read_text() == ""

    def told() -> int:
        try:
            return write_two(tmp_path)
        except OSError as error:
            return error.errno or 0

    for name, code in (("ENOSPC", 28), ("EIO", 5)):
        assert watch(told, tmp_path, Fault(3, name)).code == code
        assert (tmp_path / "a").read_text() == "new"
        assert not (tmp_path / "b").exists()


def test_calls_elsewhere_are_not_counted(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    assert watch(lambda: write_two(tmp_path / "out"), tmp_path / "in").calls == []


@pytest.mark.parametrize(
    ("calls", "told"),
    [
        (["write /p/.a", "fsync /p/.a", "rename /p/.a /p/a", "fsync /p"], []),
        (
            ["write /p/.a", "rename /p/.a /p/a", "fsync /p"],
            ["/p/.a was not flushed before it was put in place"],
        ),
        (
            ["write /p/.a", "fsync /p/.a", "write /p/.a", "rename /p/.a /p/a", "fsync /p"],
            ["/p/.a was not flushed before it was put in place"],
        ),
        (["fsync /p", "rename /p/.a /p/a"], ["/p was not flushed at the end"]),
        (
            ["write /p/.d/x", "fsync /p/.d", "renameat2 /p/.d /p/d", "fsync /p"],
            ["/p/.d/x was not flushed before it was put in place"],
        ),
        (["write /p/.a", "rename /p/.a /p/.b"], []),
    ],
)
def test_what_would_not_outlast_a_loss_of_power(calls, told):
    parsed = [Call(words[0], tuple(words[1:])) for words in (call.split() for call in calls)]
    assert unflushed(parsed) == told
