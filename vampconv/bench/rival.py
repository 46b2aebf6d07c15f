"""A process that loads a model once and runs it whenever it is told to."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.bench.process import Measurement

Array = NDArray[Any]


def serve(run: Callable[[], Array], output: Path) -> None:
    """In the child: run once for every line on stdin and print the seconds; at its end save the last result."""
    result = run()
    print("ready", flush=True)  # noqa: T201 - what the parent waits for
    for _ in sys.stdin:
        start = time.perf_counter()
        result = run()
        print(time.perf_counter() - start, flush=True)  # noqa: T201 - what the parent reads
    np.save(output, result)
    print(peak_bytes())  # noqa: T201 - the same


def peak_bytes() -> int:
    """Largest resident set of this process; that of its parent does not count, unlike in ``getrusage``."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


class Rival:
    """A child process that serves runs; it has run once, to warm up, when it is there.

    Parameters
    ----------
    command
        What to start; it must call `serve`.

    Raises
    ------
    RuntimeError
        If it ends before it is told to.

    """

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(  # noqa: S603 - the benchmarks' own commands
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._answer()

    def run(self) -> float:
        """Seconds of one run."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return float(self._answer())

    def end(self) -> int:
        """Let the process save its result and end; its peak memory in bytes."""
        rest, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"a rival ended with {self.process.returncode}")
        return int(rest)

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            self.process.communicate()
            raise RuntimeError(f"a rival ended with {self.process.returncode}")
        return line


def compete(commands: Mapping[str, list[str]], rounds: int) -> dict[str, list[Measurement]]:
    """Run all rivals in turn, `rounds` times, each in a process of its own."""
    rivals = {name: Rival(command) for name, command in commands.items()}
    seconds: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(rounds):
        for name, rival in rivals.items():
            seconds[name].append(rival.run())
    peaks = {name: rival.end() for name, rival in rivals.items()}
    return {name: [Measurement(s, peaks[name]) for s in seconds[name]] for name in rivals}
