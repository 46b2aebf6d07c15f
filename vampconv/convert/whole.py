"""The graph from audio to audio of a conversion: made of the parts that were written, whose data files it uses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx_ir as ir
from google.protobuf.message import DecodeError

from vampconv.emit.manifest import whole_entry
from vampconv.emit.writer import write_graph
from vampconv.errors import InputOutputError
from vampconv.loop.audio import PARTS, build_audio_loop, fits

WHOLE = "vamp_audio"


def with_whole(content: Mapping[str, Any], directory: Path, standing: Path) -> dict[str, Any]:
    """The manifest with the graph, which is written to the directory, if the parts can be one and are not yet.

    Parameters
    ----------
    content
        The manifest without it.
    directory
        Where the new parts were written.
    standing
        The bundle that the others lie in.

    """
    models = content["models"]
    parts = {part: models[part] for part in PARTS if part in models}
    one_opset = len({entry["opset"] for entry in parts.values()}) == 1
    if content["whole"] or not one_opset or not fits({p: e["architecture"] for p, e in parts.items()}):
        return dict(content)
    data = [name for entry in parts.values() for name in entry["data"]]
    loaded = {part: _load(entry["file"], directory, standing) for part, entry in parts.items()}
    model = build_audio_loop(loaded, {part: entry["architecture"] for part, entry in parts.items()})
    with _held({name: content["files"][name]["bytes"] for name in data}, directory):
        written = write_graph(model, directory, WHOLE)
    files = {**content["files"], written.name: {"bytes": written.size, "sha256": written.sha256}}
    return {**content, "whole": {WHOLE: whole_entry(model, written.name, PARTS, data)}, "files": files}


def _load(name: str, directory: Path, standing: Path) -> ir.Model:
    """A part that was written, or that stands; its weights are not read."""
    path = directory / name if (directory / name).exists() else standing / name
    try:
        return ir.load(path)
    except (OSError, ValueError, DecodeError) as error:
        raise InputOutputError(f"{path} cannot be read: {error}", "convert again with --force") from error


@contextmanager
def _held(sizes: Mapping[str, int], directory: Path) -> Iterator[None]:
    """Empty files of these sizes stand for a while for those that are not there; the checker takes no links."""
    missing = {directory / name: size for name, size in sizes.items() if not (directory / name).exists()}
    try:
        for path, size in missing.items():
            with path.open("xb") as file:
                file.truncate(size)
        yield
    finally:
        for path in missing:
            path.unlink(missing_ok=True)
