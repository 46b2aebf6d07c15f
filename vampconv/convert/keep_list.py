"""The file that ``vampconv calibrate`` writes and ``--keep-list`` reads: modules that stay in float32."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from vampconv.errors import BadInputError, InputOutputError

FORMAT = 1
CALIBRATE = "write it with `vampconv calibrate`"


def write_keep_list(path: Path, modules: Mapping[str, Sequence[str]]) -> None:
    """Write the modules of each part.

    Raises
    ------
    InputOutputError
        If it cannot be written.

    """
    text = json.dumps({"format": FORMAT, "fp32": {p: list(m) for p, m in modules.items()}}, indent=1)
    try:
        path.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise InputOutputError(f"{path} cannot be written: {error.strerror}", "choose another -o") from error


def read_keep_list(path: Path) -> list[str]:
    """Patterns ``PART/MODULE`` of the modules in a keep-list.

    Raises
    ------
    InputOutputError
        If it cannot be read.
    BadInputError
        If it is no keep-list.

    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputOutputError(f"{path} cannot be read: {error.strerror}", CALIBRATE) from error
    except ValueError as error:
        raise BadInputError(f"{path} is no keep-list: {error}", CALIBRATE) from error
    lists = content.get("fp32") if isinstance(content, dict) and content.get("format") == FORMAT else None
    if not isinstance(lists, dict) or not all(
        isinstance(modules, list) and all(isinstance(m, str) for m in modules) for modules in lists.values()
    ):
        raise BadInputError(f"{path} is no keep-list of format {FORMAT}", CALIBRATE)
    return [f"{part}/{module}" for part, modules in lists.items() for module in modules]
