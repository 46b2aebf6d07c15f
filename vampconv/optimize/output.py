"""Writing a model so that the old file or the new one is there, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import onnx
import onnx_ir as ir

from vampconv.errors import BadInputError, InputOutputError, UsageError, VampconvError
from vampconv.model_files import external_tensors
from vampconv.optimize.source import read

LARGE = 1 << 30
"""Bytes of weights from which they lie in a file of their own; a protobuf message ends at twice as many."""
EXTERNAL = 256
"""Constants of at least this many bytes go there."""
ALIGNED = 4096
"""Bytes whose multiples the data of a tensor begin at, so that they can be mapped into memory."""
PIECE = 1 << 24
"""Bytes copied at a time."""


def check_output(path: Path, *, force: bool) -> None:
    """Raise unless a model may be written to `path`."""
    if path.is_dir():
        raise UsageError(f"the output {path} is a directory", "name a file")
    if not path.parent.is_dir():
        raise InputOutputError(f"{path.parent} is no directory", "make it first")
    if path.exists() and not force:
        raise InputOutputError(f"{path} is there already", "use --force to replace it")


def write_model(model: ir.Model, path: Path, *, external: bool) -> list[str]:
    """Write the model and, if it is large or `external`, its weights beside it; return the names of the files."""
    weights = [v.const_value for v in model.graph.initializers.values() if v.const_value is not None]
    separate = external or sum(t.nbytes for t in weights) >= LARGE
    with _staged(path) as (staging, data):
        if separate:
            ir.save(model, staging / path.name, external_data=data, size_threshold_bytes=EXTERNAL)
        else:
            proto = ir.to_proto(model)
            (staging / path.name).write_bytes(proto.SerializeToString(deterministic=True))
        return _commit(staging, path, data)


def write_unchanged(proto: onnx.ModelProto, directory: Path, path: Path) -> list[str]:
    """Write the model as it is, its external data gathered in one file beside it."""
    tensors = list(external_tensors(proto))
    with _staged(path) as (staging, data):
        if tensors:
            with (staging / data).open("wb") as gathered:
                for tensor in tensors:
                    _gather(tensor, directory, gathered, data)
        (staging / path.name).write_bytes(proto.SerializeToString(deterministic=True))
        return _commit(staging, path, data)


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


@contextmanager
def _staged(path: Path) -> Iterator[tuple[Path, str]]:
    """A directory beside `path` to write in, and the name of a data file that is not there yet."""
    data = f"{path.name}.data"
    if (path.parent / data).exists():
        mark = hashlib.sha256(os.urandom(16)).hexdigest()[:8]
        data = f"{path.name}.{mark}.data"
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as name:
            yield Path(name), data
    except ir.serde.SerdeError as error:
        # A weight that cannot be read is told of as such, not as what the library was about to do.
        cause: BaseException | None = error
        while cause is not None and not isinstance(cause, VampconvError):
            cause = cause.__cause__
        raise (cause or error) from None
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror or error}", "check the path and the disk") from error


def _commit(staging: Path, path: Path, data: str) -> list[str]:
    """Put the data in place under its new name, then the model over the old one, then drop the old one's data."""
    written = staging / data
    old = _data_files(path) if path.exists() else []
    for file in (written, staging / path.name):
        if file.exists():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
    names = [path.name]
    if written.exists():
        written.rename(path.parent / data)
        names.append(data)
    (staging / path.name).replace(path)
    for name in old:
        if name.startswith(f"{path.name}.") and name not in names:
            (path.parent / name).unlink(missing_ok=True)
    return names


def _data_files(path: Path) -> Sequence[str]:
    """Names of the data files of the model that is there; none if it is no model."""
    try:
        tensors = external_tensors(read(path))
        return list({e.value for t in tensors for e in t.external_data if e.key == "location"})
    except (BadInputError, InputOutputError):
        return []
