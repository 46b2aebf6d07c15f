"""The graph from audio to audio of a conversion: made of the parts that were written, whose data files it uses."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
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
    with _lent([*(entry["file"] for entry in parts.values()), *data], directory, standing):
        loaded = {part: _load(directory / entry["file"]) for part, entry in parts.items()}
        model = build_audio_loop(loaded, {part: entry["architecture"] for part, entry in parts.items()})
        written = write_graph(model, directory, WHOLE)
    files = {**content["files"], written.name: {"bytes": written.size, "sha256": written.sha256}}
    return {**content, "whole": {WHOLE: whole_entry(model, written.name, PARTS, data)}, "files": files}


def _load(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except (OSError, ValueError, DecodeError) as error:
        raise InputOutputError(
            f"{path.name} cannot be read: {error}", "convert again with --force"
        ) from error


@contextmanager
def _lent(names: Iterable[str], directory: Path, standing: Path) -> Iterator[None]:
    """Files of the standing bundle lie in the directory for a while, where it has none of the name."""
    lent = [directory / name for name in names if not (directory / name).exists()]
    try:
        for path in lent:
            try:
                os.link(standing / path.name, path)
            except FileNotFoundError:
                raise InputOutputError(
                    f"{standing} has lost its file {path.name}", "convert again with --force"
                ) from None
            except OSError:  # a file system without hard links
                shutil.copyfile(standing / path.name, path)
        yield
    finally:
        for path in lent:
            path.unlink(missing_ok=True)
