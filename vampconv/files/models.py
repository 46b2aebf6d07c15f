"""ONNX files that strangers may have made: where they say that their weights lie, before anything goes there."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError, Message

from vampconv.errors import InputOutputError
from vampconv.files.regular import read_regular

LONGEST_MODEL = 1 << 31
"""Bytes of a protobuf message at most."""
_EXTERNAL = onnx.TensorProto.EXTERNAL


def all_tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """Every tensor in a model, wherever it stands: in graphs inside graphs, functions, sparse tensors, training."""
    for field, value in message.ListFields():
        if field.type != field.TYPE_MESSAGE:
            continue
        for inner in value if isinstance(value, _REPEATED) else (value,):
            if isinstance(inner, onnx.TensorProto):
                yield inner
            elif isinstance(inner, _HOLDERS):
                yield from all_tensors(inner)


_REPEATED = (type(onnx.GraphProto().node),)
_HOLDERS = (
    *(onnx.ModelProto, onnx.GraphProto, onnx.NodeProto, onnx.AttributeProto, onnx.FunctionProto),
    *(onnx.SparseTensorProto, onnx.TrainingInfoProto),
)


def external_tensors(message: Message) -> Iterator[onnx.TensorProto]:
    """The tensors of a model whose values lie in other files."""
    return (tensor for tensor in all_tensors(message) if tensor.data_location == _EXTERNAL)


def location_of(tensor: onnx.TensorProto) -> str:
    """The file in which a tensor's values lie, as it says."""
    return {entry.key: entry.value for entry in tensor.external_data}.get("location", "")


def check_bundled(path: Path, known: Collection[str]) -> None:
    """Let the weights of a bundle's model lie in files of the bundle; what is missing or damaged is told by its reader.

    Parameters
    ----------
    path
        The ONNX file.
    known
        Names of the bundle's files.

    Raises
    ------
    InputOutputError
        If the model or a file of its weights is a device, pipe or directory, or weights lie elsewhere.

    """
    if not os.path.lexists(path):
        return
    model = onnx.ModelProto()
    try:
        model.ParseFromString(read_regular(path, LONGEST_MODEL))
    except DecodeError:
        return
    for location in {location_of(tensor): None for tensor in external_tensors(model)}:
        if Path(location).name != location or location not in known:
            raise InputOutputError(
                f"weights of {path} lie in {location!r}, which is no file of the bundle",
                "convert again with --force",
            )
        require_regular(path.parent / location)


def require_regular(path: Path) -> None:
    """Raise InputOutputError if something other than a regular file is there; nothing may be there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return
    if not stat.S_ISREG(mode):
        raise InputOutputError(f"{path} is not a regular file", "convert again with --force")
