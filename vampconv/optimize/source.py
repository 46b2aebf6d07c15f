"""Reading an ONNX model of any origin, its weights left where they are."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vampconv.errors import BadInputError, VampconvError
from vampconv.files.models import LONGEST_MODEL, all_tensors
from vampconv.files.regular import open_regular, read_regular

AGAIN = "export it again"
_DIGITS = 20
PIECE = 1 << 24
"""Bytes read at a time."""
SINCE_OPSETS = 3
"""IR version since which a model says which opsets it is written for; before, it is opset 1."""


def read(path: Path) -> onnx.ModelProto:
    """The model at `path` without its external data.

    Raises
    ------
    BadInputError
        If it is no ONNX model, or not whole.
    InputOutputError
        If it cannot be read.

    """
    content = read_regular(path, LONGEST_MODEL, "model")
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise BadInputError(f"{path} is not an ONNX model, or is damaged", "export it again") from error
    lacks_opset = proto.ir_version >= SINCE_OPSETS and not proto.opset_import
    if not proto.ir_version or not proto.HasField("graph") or lacks_opset:
        raise BadInputError(
            f"{path} is not an ONNX model: it has no IR version, graph or opset", "export it again"
        )
    for tensor in all_tensors(proto):
        _check(path, tensor)
    return proto


def _check(path: Path, tensor: onnx.TensorProto) -> None:
    """Let a tensor have as many bytes as it says, and those in other files lie beside the model."""
    bits = _bits(path, tensor)
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        _check_external(path, tensor, bits)
    elif bits is not None and tensor.HasField("raw_data") and len(tensor.raw_data) != (bits + 7) // 8:
        raise BadInputError(
            f"{tensor.name} of {path} has {len(tensor.raw_data)} bytes, and says {(bits + 7) // 8}", AGAIN
        )


def _bits(path: Path, tensor: onnx.TensorProto) -> int | None:
    """The size of a tensor's values; None for strings, and for types that are not known here."""
    if min(tensor.dims, default=0) < 0:
        raise BadInputError(f"{tensor.name} of {path} is of the shape {list(tensor.dims)[:8]}", AGAIN)
    try:
        dtype = ir.DataType(tensor.data_type)
        width = 0 if dtype is ir.DataType.STRING else dtype.bitwidth
    except (ValueError, TypeError):
        return None
    return math.prod(tensor.dims) * width if width else None


def _check_external(path: Path, tensor: onnx.TensorProto, bits: int | None) -> None:
    told = {entry.key: entry.value for entry in tensor.external_data}
    location, who = told.get("location", ""), f"{tensor.name} of {path}"
    if not location or not location.isprintable():
        raise BadInputError(f"{who} names no file where its values lie: {location[:80]!r}", AGAIN)
    numbers = [told.get(key) or "0" for key in ("offset", "length")]
    if not all(number.isascii() and number.isdecimal() and len(number) < _DIGITS for number in numbers):
        raise BadInputError(f"{who} has no sound offset and length: {', '.join(numbers)[:80]}", AGAIN)
    file, (offset, length) = path.parent / location, map(int, numbers)
    if not file.resolve().is_relative_to(path.parent.resolve()):
        raise BadInputError(
            f"{location!r}, which holds {who}, lies outside of the model's directory",
            "move it beside the model",
        )
    size = file.stat().st_size if file.is_file() else -1
    if size < offset + length:
        lacks = f"ends before byte {offset + length}" if size >= 0 else "is missing, or not a regular file"
        raise BadInputError(f"{file}, which holds {who}, {lacks}", "put the whole file there")
    there = length or size - offset
    if bits is not None and there * 8 < bits:
        raise BadInputError(f"{file} has {there} bytes of {who}, which says {(bits + 7) // 8}", AGAIN)


def obstacle(proto: onnx.ModelProto) -> str | None:
    """What the model holds that the rewriter's graphs cannot carry, or None."""
    if proto.training_info:
        return "it holds training information"
    for graph in graphs_of(proto.graph):
        if graph.sparse_initializer:
            return "it holds sparse initializers"
    return None


def graphs_of(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """A graph and the graphs inside it."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from graphs_of(inner)


def as_graph(proto: onnx.ModelProto, directory: Path) -> ir.Model:
    """The model as the rewriter sees it, its external data in `directory`.

    Raises
    ------
    ir.serde.SerdeError
        If there is something in it that cannot be represented.

    """
    model = ir.from_proto(proto)
    _leave_unmapped(model, directory)
    imports = model.graph.opset_imports
    if "ai.onnx" in imports:
        imports.setdefault("", imports.pop("ai.onnx"))
    return model


def _leave_unmapped(model: ir.Model, directory: Path) -> None:
    """Read tensors in other files when they are asked for; mapped, a file that shrinks would kill the process."""
    graphs = [model.graph, *(g for g in model.graph.subgraphs())]
    for value in (v for graph in graphs for v in graph.initializers.values()):
        if isinstance(value.const_value, ir.ExternalTensor):
            value.const_value = TensorInFile(value.const_value, directory)
    for node in ir.traversal.RecursiveGraphIterator(model.graph):
        for name, attribute in list(node.attributes.items()):
            if not attribute.is_ref() and isinstance(attribute.value, ir.ExternalTensor):
                node.attributes[name] = ir.AttrTensor(name, TensorInFile(attribute.value, directory))


class TensorInFile(ir.LazyTensor):
    """A tensor in another file than the model's, read by offset when it is asked for."""

    __slots__ = ("length", "offset", "path")

    def __init__(self, tensor: ir.ExternalTensor, directory: Path) -> None:
        shape = ir.Shape(tensor.shape.numpy())
        # A bound method would show this tensor in its own description, without end.
        super().__init__(
            lambda: self.load(), tensor.dtype, shape, name=tensor.name, doc_string=tensor.doc_string
        )
        self.metadata_props.update(tensor.metadata_props)
        self.path, self.offset = directory / tensor.location, tensor.offset or 0
        self.length = (math.prod(shape.numpy()) * tensor.dtype.bitwidth + 7) // 8

    def pieces(self) -> Iterator[bytes]:
        """Its bytes, some at a time.

        Raises
        ------
        VampconvError
            If the file cannot be read, or ends early.

        """
        left = self.length
        with open_regular(self.path) as file:
            while left:
                piece = os.pread(file.fileno(), min(PIECE, left), self.offset + self.length - left)
                if not piece:
                    raise BadInputError(f"{self.path} ends early, in {self.name}", "put the whole file there")
                left -= len(piece)
                yield piece

    def load(self) -> ir.TensorProtocol:
        """All of it."""
        assert isinstance(self.shape, ir.Shape)
        proto = onnx.TensorProto(
            name=self.name or "",
            data_type=self.dtype.value,
            dims=self.shape.numpy(),
            raw_data=b"".join(self.pieces()),
        )
        return ir.serde.TensorProtoTensor(proto)


def reason_of(error: ir.serde.SerdeError) -> Exception:
    """What was wrong with a weight that the library was about to serialise, or the library's own error."""
    reason: BaseException | None = error
    while reason is not None and not isinstance(reason, VampconvError):
        reason = reason.__cause__
    return reason or error
