"""Reports in files: all appear, each whole, or none does."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from vampconv.files.outputs import outputs, unwritable
from vampconv.verify.report.html import as_html
from vampconv.verify.report.json_report import json_text
from vampconv.verify.report.junit import as_junit
from vampconv.verify.result import Verification

Text = Callable[[Verification, Path], str]
"""A report, as it lies in a directory."""
TEXTS: Mapping[str, Text] = {
    "json": lambda found, _: json_text(found),
    "html": as_html,
    "junit": lambda found, _: as_junit(found),
}


@contextmanager
def reports(**wanted: Path | None) -> Iterator[Callable[[Verification], None]]:
    """What writes the reports that are wanted, by kind: ``json``, ``html``, ``junit``.

    That they can be written is seen on entering. A file that is there is replaced; a device or a pipe is written to.

    Raises
    ------
    InputOutputError
        If a file cannot be written.

    """
    files = {kind: path for kind, path in wanted.items() if path is not None}
    streams = {kind: path for kind, path in files.items() if path.exists() and not path.is_file()}
    with outputs([path for kind, path in files.items() if kind not in streams], force=True) as staged:

        def write(found: Verification) -> None:
            for kind, path in files.items():
                content = TEXTS[kind](found, path.parent).encode()
                if kind in streams:
                    _send(content, path)
                else:
                    staged.write(path, content)

        yield write


def write_json(verification: Verification, path: Path) -> None:
    """Write the JSON report."""
    with reports(json=path) as write:
        write(verification)


def write_html(verification: Verification, path: Path) -> None:
    """Write the page."""
    with reports(html=path) as write:
        write(verification)


def write_junit(verification: Verification, path: Path) -> None:
    """Write the JUnit report."""
    with reports(junit=path) as write:
        write(verification)


def _send(content: bytes, path: Path) -> None:
    try:
        with path.open("wb") as stream:
            stream.write(content)
    except OSError as error:
        raise unwritable(path, error) from error
