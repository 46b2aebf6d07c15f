"""A warm process that runs command lines in forked children, each with limits, and tells what each of them took.

It reads a request from each line of stdin, as JSON, and answers with a line on stdout. Importing the packages takes
far longer than refusing a file, so that hundreds of cases cost no more than a few processes.
"""

from __future__ import annotations

import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import watch

from vampconv.cli import main

WARM = (
    *("vampconv.convert", "vampconv.inspect.bundle", "vampconv.inspect.checkpoint", "vampconv.optimize"),
    *("vampconv.play.perform", "vampconv.play.stream", "vampconv.report", "vampconv.plugins"),
    *("vampconv.runtime.audio.prepare", "vampconv.rulebook.explain", "vampconv.rulebook.testing"),
    *("rich.console", "rich.table", "soundfile", "scipy.signal", "numpy.random", "onnxruntime"),
)
WARM_TORCH = ("vampconv.verify.verify", "vampconv.verify.report")
WALL_SECONDS = 60
SPARE = 2 << 30
"""Address space that a child may take beyond what it was born with."""


def serve(modules: tuple[str, ...]) -> None:
    for name in modules:
        import_module(name)
    import_module("vampconv.plugins").load_plugins()
    gc.collect()
    gc.freeze()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(answer(json.loads(line))) + "\n")
        sys.stdout.flush()


def answer(request: dict) -> dict:
    """Run the request's command lines, one after the other, in one child."""
    began = time.monotonic()
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        with suppress(BaseException):
            live(request, write)
        os._exit(99)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        told = pipe.read()
    _, status, usage = os.wait4(child, 0)
    return {
        "runs": [json.loads(line) for line in told.splitlines()],
        "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        "seconds": usage.ru_utime + usage.ru_stime,
        "wall": time.monotonic() - began,
        "peak": usage.ru_maxrss << 10,
    }


def live(request: dict, pipe: int) -> None:
    """The child's life; each result goes through the pipe, since the next command may end it."""
    signal.alarm(request.get("wall", WALL_SECONDS))
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + SPARE
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    watch.renounce()
    os.chdir(request["cwd"])
    for step in request.get("then", ()):
        watch.afterwards(*step)
    if request.get("watch"):
        watch.watch(Path(request["cwd"]))
    for arguments in request["commands"]:
        os.write(pipe, json.dumps(run(arguments)).encode() + b"\n")
    os._exit(0)


def run(arguments: list[str]) -> dict:
    """One command line, its standard streams in files."""
    streams = []
    for number in (1, 2):
        streams.append(os.memfd_create("stream"))
        os.dup2(streams[-1], number)
    watch.seen.clear()
    before = dict(os.environ)
    try:
        main(arguments)
    except SystemExit as stop:
        code = stop.code
    except BaseException:  # noqa: BLE001 - whatever escapes is what is looked for
        code, _ = -1, traceback.print_exc()
    sys.stdout.flush()
    sys.stderr.flush()
    changed = {k for k in before.keys() | os.environ.keys() if before.get(k) != os.environ.get(k)}
    texts = []
    for stream in streams:
        texts.append(os.pread(stream, os.fstat(stream).st_size, 0).decode(errors="backslashreplace"))
        os.close(stream)
    return {
        "code": code,
        "out": texts[0],
        "err": texts[1],
        "seen": list(watch.seen),
        "changed": sorted(changed),
    }


if __name__ == "__main__":
    serve(WARM + WARM_TORCH if "torch" in sys.argv else WARM)
