"""What a child looks out for: code that runs where none should, and files that change under a reader."""

from __future__ import annotations

import ctypes
import mmap
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

seen: list[str] = []
"""What happened that should not, in words."""
ROOT = Path(__file__).parents[2]
TRUSTED = tuple(
    {os.fspath(ROOT / "vampconv"), os.fspath(ROOT / "rules"), *filter(None, sys.path[1:]), "<frozen"}
)
"""Where code may come from: the package, its dependencies, and Python itself."""
NEVER = (
    *(
        "os.system",
        "os.exec",
        "os.fork",
        "os.forkpty",
        "os.posix_spawn",
        "os.spawn",
        "os.startfile",
        "pty.spawn",
    ),
    *("subprocess.Popen", "pickle.find_class", "os.putenv", "os.unsetenv", "code.__new__", "socket.connect"),
    *("socket.bind", "socket.getaddrinfo", "urllib.Request", "webbrowser.open", "ctypes.dlopen", "os.kill"),
    *("function.__new__", "builtins.input", "os.chmod", "os.chown", "os.symlink"),
)
"""Events that no refusal of a file has a reason for."""
MAKERS = ("dataclasses.py", "collections/__init__.py", "enum.py", "typing.py", "functools.py")
"""Parts of Python that make methods from text when a module is first imported."""


def watch(here: Path) -> None:
    """Note from now on what means that code of a file runs, or that something outside of `here` is written."""

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        told = _verdict(event, arguments, here)
        if told and len(seen) < 20:
            seen.append(told)

    sys.addaudithook(hook)


def _verdict(event: str, arguments: tuple[Any, ...], here: Path) -> str:
    if event in NEVER:
        return f"{event} {arguments!r:.200}"
    if event == "exec":
        file = getattr(arguments[0], "co_filename", "?")
        return "" if file.startswith(TRUSTED) or _is_a_maker() else f"exec of {file}"
    if event == "compile":
        file = os.fsdecode(arguments[1]) if isinstance(arguments[1], str | bytes) else str(arguments[1])
        # ast.parse compiles to a tree, which nothing runs: `inspect.getdoc` reads its files so.
        tree = sys._getframe(2).f_code.co_filename.endswith("/ast.py")
        return (
            ""
            if tree or file.startswith(TRUSTED) or _is_a_maker()
            else f"compile of {file}: {arguments[0]!r:.80}"
        )
    if event == "import":
        return "" if arguments[0].partition(".")[0] in ALLOWED else f"import of {arguments[0]}"
    if event in ("shutil.rmtree", "os.link"):
        return "" if all(_is_inside(a, here) for a in arguments[:2]) else f"{event} {arguments!r:.200}"
    if event == "open" and _writes(arguments):
        return "" if _is_inside(arguments[0], here) else f"{arguments[0]} opened for writing"
    return ""


def _is_a_maker() -> bool:
    frame: Any = sys._getframe(3)
    return frame is not None and frame.f_code.co_filename.endswith(MAKERS)


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return (
        any(c in mode for c in "wax+")
        if isinstance(mode, str)
        else bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    )


def _is_inside(path: Any, here: Path) -> bool:
    if not isinstance(path, str | bytes | os.PathLike):
        return True
    text = os.fspath(path)
    return Path(os.path.realpath(os.fsdecode(text))).is_relative_to(here) or os.fsdecode(text) == os.devnull


def _installed() -> set[str]:
    from importlib.metadata import packages_distributions

    return (
        set(sys.stdlib_module_names) | set(packages_distributions()) | {"vampconv", "vampconv_rules", "watch"}
    )


ALLOWED = _installed()


def renounce() -> None:
    """Let permissions of files hold for root as well: the capabilities to override them are given up."""
    libc = ctypes.CDLL(None)
    header, sets = (ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)()
    if libc.capget(header, sets) == 0:
        sets[0], sets[1] = sets[0] & ~6, sets[1] & ~6
        libc.capset(header, sets)


def afterwards(call: str, count: int, action: str, path: str) -> None:
    """Let a file change right after the `count`-th call of a function that reads.

    Parameters
    ----------
    call
        ``pread``, or ``mmap`` for mappings into memory.
    count
        From 1.
    action
        ``cut`` to nothing, ``halve``, ``touch``, or ``flip`` its last byte.
    path
        The file.

    """
    module: Any = os if call == "pread" else mmap
    plain: Callable[..., Any] = getattr(module, call)
    calls = 0

    def changing(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        found = plain(*arguments, **options)
        calls += 1
        if calls == count:
            change(Path(path), action)
        return found

    setattr(module, call, changing)


def change(path: Path, action: str) -> None:
    """Change a file in place."""
    size = path.stat().st_size
    if action in ("cut", "halve"):
        os.truncate(path, 0 if action == "cut" else size // 2)
    elif action == "touch":
        os.utime(path, ns=(1, 1))
    else:
        with path.open("r+b") as file:
            file.seek(size - 1)
            last = file.read(1)
            file.seek(size - 1)
            file.write(bytes([last[0] ^ 1]))
