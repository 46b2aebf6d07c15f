"""Reading an ONNX model of any origin, its weights left where they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import onnx
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vampconv.errors import BadInputError, InputOutputError

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
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputOutputError(f"{path}: {error.strerror}", "give an ONNX model") from error
    try:
        proto = onnx.load_model_from_string(content)
    except DecodeError as error:
        raise BadInputError(f"{path} is not an ONNX model, or is damaged", "export it again") from error
    lacks_opset = proto.ir_version >= SINCE_OPSETS and not proto.opset_import
    if not proto.ir_version or not proto.HasField("graph") or lacks_opset:
        raise BadInputError(
            f"{path} is not an ONNX model: it has no IR version, graph or opset", "export it again"
        )
    for tensor in external_tensors(proto):
        _check_external(path, tensor)
    return proto


def external_tensors(proto: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """The tensors of a model whose values lie in other files."""
    external = onnx.TensorProto.EXTERNAL
    return (t for t in onnx.external_data_helper._get_all_tensors(proto) if t.data_location == external)


def _check_external(path: Path, tensor: onnx.TensorProto) -> None:
    told = {entry.key: entry.value for entry in tensor.external_data}
    file = path.parent / told.get("location", "")
    offset, length = (int(told.get(key) or 0) for key in ("offset", "length"))
    size = file.stat().st_size if file.is_file() else -1
    if size < offset + length:
        lacks = "is missing" if size < 0 else f"ends before byte {offset + length}"
        raise BadInputError(
            f"{file}, which holds {tensor.name} of {path}, {lacks}", "put the whole file there"
        )


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
    ir.external_data.set_base_dir(model.graph, directory)
    imports = model.graph.opset_imports
    if "ai.onnx" in imports:
        imports.setdefault("", imports.pop("ai.onnx"))
    return model
