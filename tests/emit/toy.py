"""Bundles of text files, each of which says what wrote it."""

from __future__ import annotations

import json
from pathlib import Path

from vampconv.emit.standing import MANIFEST


def listing(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def word(output: Path) -> str:
    """Which bundle stands there; it must be whole."""
    manifest = json.loads((output / MANIFEST).read_text())
    assert {path.name for path in output.iterdir()} == {MANIFEST, *manifest["files"]}
    for name, entry in manifest["files"].items():
        assert (output / name).read_text() == f"{entry['by']} {name}"
    return manifest["word"]
