"""A process that loads a model once and runs it whenever it is told to."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from vampconv.bench.process import SILENT, ContestantError, Run, last_line, timed

Array = NDArray[Any]
Work = Callable[[], tuple[Array, Mapping[str, float]]]
"""What is timed: the result, and the seconds of its parts where these are known."""


def serve(prepare: Callable[[float], Work]) -> None:
    """In the child: for every line on stdin run once, or save the last result.

    Parameters
    ----------
    prepare
        Of seconds of audio makes the work, which alone is timed.

    """
    result: Array | None = None
    print("ready", flush=True)  # noqa: T201 - what the parent waits for
    for line in sys.stdin:
        match json.loads(line):
            case {"save": path}:
                assert result is not None
                np.save(path, result)
                answer: dict[str, Any] = {}
            case {"run": seconds}:
                run, (result, parts) = timed(prepare(seconds))
                answer = asdict(run) | {"parts": parts}
        print(json.dumps(answer), flush=True)  # noqa: T201 - what the parent reads


class Rival:
    """A child process that serves runs.

    Parameters
    ----------
    command
        What to start; it must call `serve`.

    Raises
    ------
    ContestantError
        If it ends before it is told to.

    """

    def __init__(self, command: list[str]) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed in `end`
        self.process = subprocess.Popen(  # noqa: S603 - the benchmarks' own commands
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        self._ready = False

    def run(self, seconds: float) -> Run:
        """One run on so much audio."""
        return Run(**self._ask({"run": seconds}))

    def save(self, path: Path) -> None:
        """Write the last result to a file for `numpy.load`."""
        self._ask({"save": str(path)})

    def wait(self) -> None:
        """Until it has loaded its model."""
        if not self._ready:
            self._answer()
            self._ready = True

    def end(self) -> None:
        """Let the process end."""
        self.process.communicate()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is not None:
            self.process.kill()
        self.end()

    def _ask(self, request: Mapping[str, Any]) -> Any:
        self.wait()
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass
        return json.loads(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            code = self.process.wait()
            raise ContestantError(last_line(self._errors) or SILENT.format(code=code))
        return line
