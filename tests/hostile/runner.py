"""Runs cases through the command line, and holds what every one of them must hold."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ..common import LINE
from .case import Case

SECONDS = 2.0
"""Of processor time that a case may take, all its commands together."""
MEMORY = 300 << 20
"""Bytes that a case may take at its peak."""


class Server:
    """A warm process that forks one child for each request."""

    def __init__(self, *options: str) -> None:
        environment = os.environ | {"ORT_DISABLE_TELEMETRY": "1", "THP_MEM_ALLOC_ENABLE": "1"}
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
        environment.pop("VAMPCONV_TRACEBACK", None)
        command = [sys.executable, Path(__file__).with_name("server.py"), *options]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.born = self.ask(Path.cwd(), [])["peak"]
        """Bytes that a child has before it does anything: those of the imports."""

    def ask(self, place: Path, commands: Any, **options: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps({"cwd": str(place), "commands": commands, **options}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def state_of(place: Path) -> dict[str, Any]:
    """Kind, size and bytes of everything in a directory, without following what could be without end."""
    found: dict[str, Any] = {}
    for path in sorted(place.rglob("*")):
        if path.is_symlink():
            found[str(path.relative_to(place))] = ("link", str(path.readlink()))
        elif path.is_file():
            size = path.stat().st_size
            data = path.read_bytes() if size < 16 << 20 and os.access(path, os.R_OK) else size
            found[str(path.relative_to(place))] = data
        else:
            found[str(path.relative_to(place))] = path.stat().st_mode
    return found


def failures(case: Case, place: Path, server: Server, **options: Any) -> list[str]:
    """What a case does that it must not do; nothing if all is well."""
    data = case.make(place)
    if isinstance(data, bytes):
        (place / "model.pth").write_bytes(data)
    before = state_of(place)
    told = server.ask(place, [list(c) for c in case.commands], then=[list(t) for t in case.then], **options)
    found = list(_of_process(told, server)) + [
        f"{' '.join(command)}: {problem}"
        for command, ran in zip(case.commands, told["runs"], strict=False)
        for problem in _of_run(case, command, ran)
    ]
    after = state_of(place)
    changed_by_us = {name for *_, name in case.then}
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name) and name not in changed_by_us:
            found.append(
                f"{name} is {'new' if name not in before else 'gone' if name not in after else 'changed'}"
            )
    if len(told["runs"]) != len(case.commands):
        found.append(f"only {len(told['runs'])} of {len(case.commands)} commands ended")
    return found


def _of_process(told: dict[str, Any], server: Server) -> Any:
    if told["signal"]:
        yield f"killed by signal {told['signal']}"
    if told["seconds"] > SECONDS:
        yield f"took {told['seconds']:.1f} s"
    if told["peak"] - max(0, server.born - MEMORY // 2) > MEMORY:
        yield f"took {told['peak'] >> 20} MB"


def _of_run(case: Case, command: Any, ran: dict[str, Any]) -> Any:
    if ran["code"] == 0 and command[0] == "inspect" and case.code == 4:
        return
    if ran["code"] != case.code:
        yield f"exit code {ran['code']}, not {case.code}: {ran['err'][:300]!r}"
    elif not LINE.fullmatch(ran["err"]):
        yield f"not one line: {ran['err'][:300]!r}"
    elif not re.search(case.words, ran["err"], re.DOTALL):
        yield f"says {ran['err'][:300]!r}, not {case.words!r}"
    if ran["out"] and case.code != 5:
        yield f"on stdout: {ran['out'][:80]!r}"
    for event in ran["seen"]:
        yield f"saw {event}"
    for name in ran["changed"]:
        yield f"changed {name} in the environment"
