"""What stands at an output, and whether it may be replaced."""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

from vampconv.emit.staging import Place, throw
from vampconv.errors import InputOutputError

MANIFEST = "vampconv.json"
ACCURACY = "accuracy.json"
"""What `verify` writes beside the files of a bundle; it goes with them."""


def refuse_in_use(place: Place, output: Path) -> None:
    """Refuse an output that a rename would pull away from under the user's feet, or cannot move."""
    with suppress(FileNotFoundError):
        here = Path.cwd()
        if place.target in (here, *here.parents):
            raise InputOutputError(
                f"the output '{output}' is the current directory, or holds it, and cannot be replaced",
                "choose a new directory, such as -o bundle",
            )
    if place.target.is_mount():
        raise InputOutputError(
            f"the output '{output}' is a mount point and cannot be replaced in one step",
            f"choose a directory inside it, such as -o '{output / 'bundle'}'",
        )


def occupied(directory: Path, output: Path, *, replace: bool) -> bool:
    """Whether a directory stands there that may be replaced: an empty one or, if `replace`, a bundle.

    Anything else is an InputOutputError, which calls the directory `output`.
    """
    try:
        entries = sorted(entry.name for entry in directory.iterdir())
    except FileNotFoundError:
        return False
    except NotADirectoryError as error:
        if not os.path.lexists(directory):
            raise
        raise InputOutputError(f"'{output}' is not a directory", "choose another -o") from error
    if entries and not replace:
        if MANIFEST in entries:
            raise InputOutputError(
                f"'{output}' already holds a bundle", "use --force to replace it or choose another -o"
            )
        raise InputOutputError(f"'{output}' is not empty and no bundle", "empty it or choose another -o")
    if entries:
        listed = listed_files(directory, output)
        foreign = sorted(all_files(directory) - listed.keys() - {MANIFEST, ACCURACY})
        if foreign:
            raise InputOutputError(
                f"'{output}' holds '{foreign[0]}', which is not part of the bundle there",
                "move it away or choose another -o",
            )
    return True


def listed_files(directory: Path, output: Path) -> dict[str, Any]:
    """The ``files`` of the manifest in `directory`, which errors call `output`: relative name to entry."""
    manifest = directory / MANIFEST
    if not os.path.lexists(manifest):
        raise InputOutputError(
            f"'{output}' holds files but no {MANIFEST}, so it is not a bundle", "choose another -o"
        )
    try:
        files = json.loads(manifest.read_bytes())["files"] if stat.S_ISREG(manifest.lstat().st_mode) else None
    except (ValueError, TypeError, KeyError, RecursionError):
        files = None
    if not isinstance(files, dict):
        raise InputOutputError(
            f"the manifest '{output / MANIFEST}' is damaged, so its files cannot be told from yours",
            "move the directory away or choose another -o",
        )
    return files


def all_files(directory: Path) -> set[str]:
    """Relative names of everything in `directory`, except for directories that hold something."""
    names: set[str] = set()
    for folder, folders, files in os.walk(directory, onerror=throw):
        links = [name for name in folders if (Path(folder) / name).is_symlink()]
        names.update((Path(folder) / name).relative_to(directory).as_posix() for name in (*files, *links))
        if not files and not folders:
            names.add(Path(folder).relative_to(directory).as_posix())
    return names
