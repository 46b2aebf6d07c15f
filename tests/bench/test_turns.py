"""Runs, processes that serve runs, and contestants that take turns."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from vampconv.bench.process import ContestantError, Run, measure, timed
from vampconv.bench.rival import Rival
from vampconv.bench.turns import Outcome, Spread, take_turns

HOLD = "import time; held = bytearray(b'x') * {size}; time.sleep({seconds})"
SERVE = """
import sys, time
import numpy as np
from vampconv.bench.rival import serve

held, turns = bytearray(b"x") * {size}, []

def prepare(seconds):
    time.sleep(0.1)
    def work():
        time.sleep(seconds)
        turns.append(seconds)
        if seconds > 1:
            raise SystemExit("RuntimeError: too long")
        return np.array(turns), {{"sleep": seconds}}
    return work

serve(prepare)
"""


def python(code):
    return [sys.executable, "-c", code]


def test_time_and_memory_of_a_process():
    """The memory of a small process is its own, though this one is larger."""
    idle = measure(python("pass"))
    busy = measure(python(HOLD.format(size=300_000_000, seconds=0.3)))
    assert busy.seconds >= 0.3
    assert busy.cpu_seconds < busy.seconds
    assert busy.peak_bytes >= 300_000_000
    assert idle.peak_bytes < 40_000_000


def test_what_a_process_prints_is_kept(tmp_path):
    measure(python("print('a line')"), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "a line\n"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("raise SystemExit(3)", "ended with 3"),
        ("raise ValueError('of a kind')", "ValueError: of a kind"),
        ("import os; os.kill(os.getpid(), 9)", "ended with -9"),
    ],
)
def test_a_failing_process_says_why(code, told):
    with pytest.raises(ContestantError, match=told):
        measure(python(code))
    with Rival(python(code)) as rival, pytest.raises(ContestantError, match=told):
        rival.run(1.0)


def test_a_command_that_is_not_there():
    with pytest.raises(ContestantError, match="FileNotFoundError"):
        measure(["no-such-command"])


def test_rivals_serve_runs(tmp_path):
    """What is timed is the work; memory is that of the process alone, and results are saved when asked for."""
    sizes = {"small": 1, "large": 200_000_000}
    peaks = {}
    for name, size in sizes.items():
        with Rival(python(SERVE.format(size=size))) as rival:
            runs = [rival.run(0.02) for _ in range(3)]
            rival.save(tmp_path / f"{name}.npy")
        assert np.load(tmp_path / f"{name}.npy").tolist() == [0.02] * 3
        assert all(0.02 <= run.seconds < 0.1 and run.parts == {"sleep": 0.02} for run in runs)
        peaks[name] = runs[-1].peak_bytes
    assert peaks["large"] - peaks["small"] >= 190_000_000


def test_a_rival_that_ends_in_a_run():
    with Rival(python(SERVE.format(size=1))) as rival:
        rival.run(0.0)
        with pytest.raises(ContestantError, match="too long"):
            rival.run(1.01)
        with pytest.raises(ContestantError):
            rival.run(0.0)


def test_turns_alternate_and_failures_are_kept():
    """Who fails is left out from then on; the others go on."""
    log = []

    def contestant(name, dies=None):
        def run():
            log.append(name)
            if dies == log.count(name):
                raise ContestantError("it is broken")
            return timed(lambda: None)[0]

        return run

    outcomes = take_turns({"a": contestant("a"), "b": contestant("b", 2)}, 3, between=lambda: log.append("-"))
    assert "".join(log) == "a-b-a-b-a-"
    assert [len(outcome.runs) for outcome in outcomes.values()] == [3, 1]
    assert [outcome.failure for outcome in outcomes.values()] == [None, "it is broken"]


def test_a_bug_is_not_taken_for_a_failure():
    with pytest.raises(ZeroDivisionError):
        take_turns({"a": lambda: 1 / 0}, 1)


@pytest.mark.parametrize(("budget", "rounds"), [(0, 1), (25, 2), (29, 2), (30, 3)])
def test_no_round_begins_that_would_end_beyond_the_budget(monkeypatch, budget, rounds):
    """Each takes ten seconds, by a clock of its own."""
    now = [0.0]
    monkeypatch.setattr("vampconv.bench.turns.time.perf_counter", lambda: now[0])

    def run():
        now[0] += 10
        return Run(10, 10, 0)

    assert len(take_turns({"a": run}, 3, budget=budget)["a"].runs) == rounds


def test_medians_quartiles_and_ratios():
    assert Spread.of([3.0]) == Spread(3, 3, 3, 1)
    assert Spread.of([4.0, 1.0, 2.0, 5.0, 3.0]) == Spread(3, 2, 4, 5)
    mine, theirs = (
        Outcome([Run(s, s, peak) for s, peak in zip(seconds, (10, 30, 20), strict=True)])
        for seconds in ((1, 4, 9), (2, 2, 3))
    )
    assert mine.over(theirs) == Spread(2, 1.25, 2.5, 3)
    assert mine.peak_bytes == 30
    assert mine.over(Outcome(failure="it is broken")) is None
    assert Outcome().seconds is None
