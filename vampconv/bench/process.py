"""Whole processes, with their time and their peak memory."""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Measurement:
    """One run of a process."""

    seconds: float
    peak_bytes: int


def measure(command: Sequence[str]) -> Measurement:
    """Run a command; peak memory is the largest resident set of the child, or of this process if larger.

    Raises
    ------
    RuntimeError
        If it fails.

    """
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - the benchmarks' own commands
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{command[0]} ended with {process.returncode}")
    return Measurement(seconds, usage.ru_maxrss * 1024)


def take_turns(
    commands: Mapping[str, Sequence[str]], rounds: Mapping[str, int], between: Sequence[str]
) -> dict[str, list[Measurement]]:
    """Measure several commands in turn, each as often as `rounds` says; `between` cleans up after each run."""
    results: dict[str, list[Measurement]] = {name: [] for name in commands}
    for turn in range(max(rounds.values())):
        for name, command in commands.items():
            if turn < rounds[name]:
                results[name].append(measure(command))
                measure(between)
    return results


def medians(runs: Sequence[Measurement]) -> Measurement:
    """Median time and largest memory."""
    return Measurement(statistics.median(r.seconds for r in runs), max(r.peak_bytes for r in runs))
