"""The sampling loops of a conversion: graphs around its transformers, which use their data files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from vampconv.convert.plan import Part
from vampconv.emit.manifest import loop_entry
from vampconv.emit.writer import WrittenFile, write_graph
from vampconv.loop.graph import build_loop

LOOPS = {"coarse": "vamp", "c2f": "vamp_c2f"}
"""The loop around each transformer; the one that takes recorded draws has ``_replay`` after its name."""
DRAWS = {"seed": "", "recorded": "_replay"}


def make_loops(
    part: Part, data: Sequence[str], directory: Path | None
) -> Iterator[tuple[str, dict[str, Any], WrittenFile | None]]:
    """Name, manifest entry and file of every loop around a part that was written.

    Parameters
    ----------
    part
        Any part; those that are no transformers have none.
    data
        Its data files.
    directory
        Where to write; without it, nothing is.

    """
    if part.name not in LOOPS:
        return
    for draws, suffix in DRAWS.items():
        name = LOOPS[part.name] + suffix
        model = build_loop(part.model, part.architecture, replay=draws == "recorded")
        written = None if directory is None else write_graph(model, directory, name)
        yield name, loop_entry(model, f"{name}.onnx", part.name, data, draws), written
