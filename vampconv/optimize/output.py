"""Writing a model and the data beside it, so that the old ones or the new ones are there, whatever happens."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

import onnx
import onnx_ir as ir

from vampconv.errors import BadInputError, InputOutputError, UsageError
from vampconv.files.models import external_tensors
from vampconv.files.outputs import Outputs, unwritable
from vampconv.optimize.source import PIECE, TensorInFile, read

LARGE = 1 << 30
"""Bytes of weights from which they lie in a file of their own; a protobuf message ends at twice as many."""
EXTERNAL = 256
"""Constants of at least this many bytes go there."""
ALIGNED = 4096
"""Bytes whose multiples the data of a tensor begin at, so that they can be mapped into memory."""


def check_output(path: Path, *, force: bool) -> None:
    """Raise unless a model may be written to `path`."""
    if path.is_dir():
        raise UsageError(f"the output {path} is a directory", "name a file")
    if not path.parent.is_dir():
        raise InputOutputError(f"{path.parent} is no directory", "make it first")
    if path.exists() and not force:
        raise InputOutputError(f"{path} is there already", "use --force to replace it")


def write_model(model: ir.Model, path: Path, files: Outputs, *, external: bool) -> list[str]:
    """Stage the model and, if it is large or `external`, its weights beside it; return the names of the files."""
    weights = [v.const_value for v in model.graph.initializers.values() if v.const_value is not None]
    separate = external or sum(t.nbytes for t in weights) >= LARGE
    if not separate:
        files.write(path, ir.to_proto(model).SerializeToString(deterministic=True))
        return _names(path, files)
    data = _free_name(path)
    with _explained(path), files.stage(path.parent / data, fresh=True).open("wb") as beside:
        for value in [v for graph in model.graphs() for v in graph.initializers.values()]:
            tensor = value.const_value
            if tensor is not None and _goes_beside(tensor):
                value.const_value = _moved(tensor, beside, path.parent / data)
    files.write(path, ir.to_proto(model).SerializeToString(deterministic=True))
    return _names(path, files)


def _goes_beside(tensor: ir.TensorProtocol) -> bool:
    """Whether a tensor is large, or lies in another file that the new model shall not need."""
    large = tensor.nbytes >= EXTERNAL and tensor.dtype != ir.DataType.STRING
    return large or isinstance(tensor, TensorInFile)


def _moved(tensor: ir.TensorProtocol, beside: BinaryIO, data: Path) -> ir.ExternalTensor:
    """Write a tensor's data to the end of a file that will have another name, and let it lie there."""
    beside.write(bytes(-beside.tell() % ALIGNED))
    start, shape = beside.tell(), cast("ir.Shape", tensor.shape)
    beside.writelines(tensor.pieces() if isinstance(tensor, TensorInFile) else [tensor.tobytes()])
    length = beside.tell() - start
    found = ir.ExternalTensor(
        data.name, start, length, tensor.dtype, shape=shape, name=tensor.name or "", base_dir=data.parent
    )
    found.doc_string = tensor.doc_string
    found.metadata_props.update(tensor.metadata_props)
    return found


def write_unchanged(proto: onnx.ModelProto, directory: Path, path: Path, files: Outputs) -> list[str]:
    """Stage the model as it is, its external data gathered in one file beside it."""
    tensors = list(external_tensors(proto))
    with _explained(path):
        if tensors:
            data = _free_name(path)
            with files.stage(path.parent / data, fresh=True).open("wb") as gathered:
                for tensor in tensors:
                    _gather(tensor, directory, gathered, data)
    files.write(path, proto.SerializeToString(deterministic=True))
    return _names(path, files)


def _names(path: Path, files: Outputs) -> list[str]:
    """The names of what was staged, the model's first; data of the model that is there goes with it."""
    names = [path.name, *(p.name for p in files.staged if p.name != Path(os.path.realpath(path)).name)]
    for name in _data_files(path) if path.exists() else []:
        if name.startswith(f"{path.name}.") and name not in names:
            files.drop(path.parent / name)
    return names


def _gather(tensor: onnx.TensorProto, directory: Path, gathered: BinaryIO, name: str) -> None:
    """Copy the data of a tensor that lies elsewhere to the end of a file, and let it lie there."""
    told = {entry.key: entry.value for entry in tensor.external_data}
    source = directory / told["location"]
    start = int(told.get("offset") or 0)
    left = int(told.get("length") or source.stat().st_size - start)
    gathered.write(bytes(-gathered.tell() % ALIGNED))
    del tensor.external_data[:]
    for key, value in (("location", name), ("offset", gathered.tell()), ("length", left)):
        tensor.external_data.add(key=key, value=str(value))
    with source.open("rb") as opened:
        opened.seek(start)
        while piece := opened.read(min(left, PIECE)):
            gathered.write(piece)
            left -= len(piece)
    if left:
        raise BadInputError(f"{source} ends {left} bytes early", "put the whole file there")


def _free_name(path: Path) -> str:
    """A name for the data that is not taken: the model that is there needs its own until it is replaced."""
    numbers = ("", *(f".{number}" for number in range(2, 1000)))
    return next(
        n for n in (f"{path.name}{number}.data" for number in numbers) if not (path.parent / n).exists()
    )


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _data_files(path: Path) -> Sequence[str]:
    """Names of the data files of the model that is there; none if it is no model."""
    try:
        tensors = external_tensors(read(path))
        return list({e.value for t in tensors for e in t.external_data if e.key == "location"})
    except (BadInputError, InputOutputError):
        return []
