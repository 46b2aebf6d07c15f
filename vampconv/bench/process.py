"""Runs, of functions and of whole processes: their time and their peak memory."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

SILENT = "it ended with {code} and said nothing"
LAUNCHER = """
import json, os, sys, time
start = time.perf_counter()
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ, file_actions=[
    (os.POSIX_SPAWN_OPEN, 1, sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)])
_, status, usage = os.wait4(child, 0)
seconds = time.perf_counter() - start
print(json.dumps([os.waitstatus_to_exitcode(status), seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""
"""Starts a command; small, since what it has in memory itself would count as the command's."""


class ContestantError(Exception):
    """What was to be measured failed; the message says how."""


@dataclass(frozen=True)
class Run:
    """One run."""

    seconds: float
    cpu_seconds: float
    """Of all threads."""
    peak_bytes: int
    """The largest resident set of the process so far."""
    parts: Mapping[str, float] = field(default_factory=dict)
    """Seconds by part, where they are known."""


def timed(function: Callable[[], Any]) -> tuple[Run, Any]:
    """A run of a function in this process, and its result."""
    start, busy = time.perf_counter(), time.process_time()
    result = function()
    seconds, used = time.perf_counter() - start, time.process_time() - busy
    return Run(seconds, used, peak_bytes()), result


def peak_bytes() -> int:
    """Largest resident set of this process; that of its parent does not count, unlike in ``getrusage``."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM"))


def measure(command: Sequence[str], output: Path = Path("/dev/null")) -> Run:
    """Run a command to its end; what it prints goes to the file.

    Raises
    ------
    ContestantError
        If it fails.

    """
    launcher = [sys.executable, "-S", "-c", LAUNCHER, str(output), *command]
    with tempfile.TemporaryFile() as errors:
        group = subprocess.Popen(launcher, stdout=subprocess.PIPE, stderr=errors, process_group=0)  # noqa: S603
        try:
            told, _ = group.communicate()
        except BaseException:
            os.killpg(group.pid, signal.SIGKILL)
            group.communicate()
            raise
        if group.returncode:
            raise ContestantError(last_line(errors) or SILENT.format(code=group.returncode))
        code, seconds, busy, kilobytes = json.loads(told)
        if code:
            raise ContestantError(last_line(errors) or SILENT.format(code=code))
    return Run(seconds, busy, kilobytes * 1024)


def last_line(errors: IO[bytes]) -> str:
    """The last line that a process wrote to its stderr, which says why it failed."""
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else ""
