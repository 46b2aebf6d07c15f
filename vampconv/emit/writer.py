"""Writes a model and its weights, one tensor at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

from vampconv import __version__
from vampconv.emit.computed import finite_array
from vampconv.emit.data_file import write_data
from vampconv.errors import VampconvError

EXTERNAL = 256
"""Constants of at least this many bytes lie in the data file."""


@dataclass(frozen=True)
class WrittenFile:
    """A file of the bundle."""

    name: str
    size: int
    sha256: str


def write_model(
    model: ir.Model, directory: Path, stem: str, advance: Callable[[int], None] = lambda _: None
) -> list[WrittenFile]:
    """Write ``stem.onnx`` and ``stem.onnx.data`` and check them.

    The model's constants are replaced by references to the data file.

    Parameters
    ----------
    model
        A graph of standard ops; its lazy tensors are computed here, and freed after.
    directory
        Where to write.
    stem
        Name of the files.
    advance
        Called with the number of bytes written, for a progress bar.

    """
    graph = model.graph
    data = f"{stem}.onnx.data"
    written: list[WrittenFile] = []
    large = [
        v
        for v in graph.initializers.values()
        if v.const_value is not None and v.const_value.nbytes >= EXTERNAL
    ]
    for value in graph.initializers.values():
        if value not in large:
            finite_array(value)
    if large:
        written.append(WrittenFile(data, *write_data(large, directory / data, advance)))
    return [write_graph(model, directory, stem), *written]


def write_graph(model: ir.Model, directory: Path, stem: str) -> WrittenFile:
    """Write ``stem.onnx``, whose large constants lie in data files there already, and check it."""
    graph = model.graph
    model.ir_version = onnx.helper.find_min_ir_version_for(
        [onnx.helper.make_opsetid("", graph.opset_imports[""])]
    )
    model.producer_name, model.producer_version = "vampconv", __version__
    path = directory / f"{stem}.onnx"
    content = ir.to_proto(model).SerializeToString(deterministic=True)
    path.write_bytes(content)
    _check(path)
    return WrittenFile(path.name, len(content), hashlib.sha256(content).hexdigest())


def _check(path: Path) -> None:
    """ONNX's full check, with the external data in place."""
    try:
        onnx.checker.check_model(str(path), full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise VampconvError(
            f"{path.name} does not pass the checker: {str(error).strip().splitlines()[0]}",
            "please report this",
        ) from error
