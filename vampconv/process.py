"""The command as a process: signals, standard streams, and one exit code for each kind of error."""

from __future__ import annotations

import io
import logging
import os
import signal
import sys
import threading
from contextlib import suppress
from types import FrameType

import click

from vampconv.errors import InputOutputError, LimitError, UsageError, VampconvError

AGAIN = 0.02
"""Seconds after which a signal comes again that came in the middle of an import."""


class Terminated(BaseException):
    """SIGTERM came; a SystemExit would be taken for that of a rule."""


def run(command: click.Group, arguments: list[str] | None) -> int:
    """Run a command line; return its exit code, after one line on stderr for an error."""
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as a shell asks for background jobs
            signal.signal(number, _stop)
    _open_standard_streams()
    logging.basicConfig(handlers=[logging.NullHandler()])  # libraries' complaints are not for the user
    return _guarded(command, arguments)


def _open_standard_streams() -> None:
    """Put the null device where a standard stream is closed, so that no file of ours is opened in its place."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.dup2(os.open(os.devnull, os.O_RDWR), number)
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _stop(number: int, frame: FrameType | None) -> None:
    """Raise what a signal asks for; in the middle of an import, which may lose it or break, a little later."""
    if _imports(frame):
        timer = threading.Timer(AGAIN, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()
        return
    raise KeyboardInterrupt if number == signal.SIGINT else Terminated


def _imports(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _guarded(command: click.Group, arguments: list[str] | None) -> int:
    try:
        return _completed(command, arguments)
    except VampconvError as error:
        return _fail(error)
    except (click.exceptions.Abort, KeyboardInterrupt):
        return 130
    except Terminated:
        return 143
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "vampconv"
        return _fail(UsageError(error.format_message().rstrip("."), f"see `{path} --help`"))
    except MemoryError:
        return _fail(LimitError("out of memory", "free some, or convert one model at a time"))
    except Exception as error:
        if os.environ.get("VAMPCONV_TRACEBACK"):
            raise
        return _fail(_unforeseen(error))


def _completed(command: click.Group, arguments: list[str] | None) -> int:
    """Run the command; it ends quietly when nobody reads its results any more."""
    try:
        command.main(arguments, prog_name="vampconv", standalone_mode=False)
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        pass
    except SystemExit as stop:
        # click and rich answer a broken pipe with 1.
        if stop.code != 1:
            raise
    _drop_results()
    return 0


def _unforeseen(error: Exception) -> VampconvError:
    if isinstance(error, OSError):
        _drop_results()
        where = f" ({error.filename})" if error.filename else ""
        return InputOutputError(f"{error.strerror or error}{where}", "check the path and the disk")
    if isinstance(error, RuntimeError) and str(error) == "can't start new thread":
        return LimitError(
            "no more threads can be started", "free memory, or raise the limits (ulimit -u, -v)"
        )
    told = f"{type(error).__name__}: {error}"
    return VampconvError(f"a bug: {told}", "run again with VAMPCONV_TRACEBACK=1 and report it")


def _drop_results() -> None:
    """Let what stdout still holds go nowhere."""
    with suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: VampconvError) -> int:
    sys.stderr.write(error.line() + "\n")
    return error.code
