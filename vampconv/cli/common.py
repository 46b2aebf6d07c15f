"""What the commands share: types of arguments, the console, progress, JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vampconv.errors import UsageError

PATH = click.Path(path_type=Path, readable=False)


if TYPE_CHECKING:
    ParamType = click.ParamType
else:

    class ParamType(click.ParamType):
        """Takes a type argument, which it does not before click 8.4."""

        def __class_getitem__(cls, _: object) -> type:
            return cls


class Sizes(ParamType[Sequence[int]]):
    """Whole numbers with commas between them."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[int]:
        if not isinstance(value, str):
            return value
        try:
            return [int(size) for size in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers like 1,13,100", param, ctx)


class Names(ParamType[Sequence[str]]):
    """Some of the names in `known`, with commas between them; ``none`` is none of them."""

    name = "name,name,…"

    def __init__(self, known: Sequence[str]) -> None:
        self.known = known

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[str]:
        if not isinstance(value, str):
            return value
        names = [name for name in value.split(",") if name not in ("", "none")]
        for name in names:
            if name not in self.known:
                self.fail(f"there is no {name!r}; there are {', '.join(self.known)}", param, ctx)
        return list(dict.fromkeys(names))


def console() -> Any:
    """A rich console on stdout, wide enough for tables where it is not a terminal."""
    from rich.console import Console

    return (
        Console(highlight=False, soft_wrap=True)
        if sys.stdout.isatty()
        else Console(highlight=False, width=160)
    )


def print_json(content: Any) -> None:
    """Write JSON to stdout."""
    sys.stdout.write(json.dumps(content, indent=1) + "\n")


EXTRA = {
    "torch": "PyTorch",
    "jinja2": "Jinja",
    "onnx_graphsurgeon": "onnx-graphsurgeon",
    "soundfile": "soundfile",
}
"""Modules of the extra ``verify``, by the names that people know them by."""


def require_extra(what: str = "verification") -> None:
    """Raise an error if something is not installed that verification, or what goes by its means, needs."""
    missing = [name for module, name in EXTRA.items() if find_spec(module) is None]
    if missing:
        raise UsageError(f"{what} needs {' and '.join(missing)}", "pip install 'vampconv[verify]' brings it")


@contextmanager
def progress(what: str, *, counted: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where that is a terminal: of bytes, or of things that are `counted`."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = MofNCompleteColumn() if counted else DownloadColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
