"""ONNX models for ``optimize`` that are none, or that name files which are not theirs."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .case import Case

OPTIMIZE = ("optimize", "model.onnx", "-o", "done.onnx", "--force")
ONLY = (OPTIMIZE,)


def model(*tensors, nodes=None, opset: int = 17, **options) -> onnx.ModelProto:
    """A sum of an input and a weight of 64 elements."""
    made = nodes or [helper.make_node("Add", ["x", "w"], ["y"])]
    weights = tensors or (numpy_helper.from_array(np.ones(64, np.float32), "w"),)
    ports = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [64]) for n in ("x", "y")]
    graph = helper.make_graph(made, "g", ports[:1], ports[1:], list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **options)


def external(location: str, offset: object = 0, length: object = 256, **more) -> TensorProto:
    """A weight of 64 elements in another file."""
    tensor = TensorProto(name="w", dims=[64], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, "offset": offset, "length": length, **more}.items():
        if value is not None:
            tensor.external_data.add(key=key, value=str(value))
    return tensor


def written(made):
    """Makes ``model.onnx`` of a model or of bytes."""

    def make(place: Path) -> None:
        content = made(place) if callable(made) else made
        (place / "model.onnx").write_bytes(
            content if isinstance(content, bytes) else content.SerializeToString()
        )

    return make


def beside(made, name: str = "weights.bin", size: int = 4096):
    def make(place: Path) -> None:
        (place / name).write_bytes(bytes(size))
        written(made)(place)

    return make


def linked(target: str):
    def make(place: Path) -> None:
        (place / "weights.bin").symlink_to(target)
        written(model(external("weights.bin")))(place)

    return make


def piped(place: Path) -> None:
    os.mkfifo(place / "weights.bin")
    written(model(external("weights.bin")))(place)


def in_attribute(location: str) -> onnx.ModelProto:
    tensor = external(location)
    node = helper.make_node("Constant", [], ["w"])
    node.attribute.add(name="value", type=onnx.AttributeProto.TENSOR, t=tensor)
    return model(
        numpy_helper.from_array(np.ones(1, np.float32), "u"),
        nodes=[node, helper.make_node("Add", ["x", "w"], ["y"])],
    )


def in_sparse(location: str) -> onnx.ModelProto:
    made = model()
    sparse = made.graph.sparse_initializer.add(dims=[64])
    sparse.values.CopyFrom(external(location))
    sparse.values.name = "s"
    sparse.indices.CopyFrom(numpy_helper.from_array(np.arange(64), "i"))
    return made


def nested(levels: int) -> bytes:
    """A graph in a graph in a graph …, as the wire has it."""
    made = b""
    for _ in range(levels):
        attribute = b"\x32" + varint(len(made)) + made + b"\xa0\x01\x05" if made else b""
        node = b"\x2a" + varint(len(attribute)) + attribute if attribute else b""
        made = b"\x0a" + varint(len(node)) + node
    return b"\x08\x08\x3a" + varint(len(made)) + made + b"\x42\x02\x10\x11"


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def oversized() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.ones(64, np.float32), "w")
    tensor.dims[:] = [1 << 40]
    return model(tensor)


def negative() -> onnx.ModelProto:
    tensor = numpy_helper.from_array(np.ones(64, np.float32), "w")
    tensor.dims[:] = [-64]
    return model(tensor)


def pipe_model(place: Path) -> None:
    os.mkfifo(place / "model.onnx")


OUTSIDE = "outside of|no file beside|not beside"
CASES = [
    Case("no model", 3, "not an ONNX model", written(b"hello, world" * 9), ONLY),
    Case("an empty model", 3, "not an ONNX model", written(b""), ONLY),
    Case(
        "a model that is cut",
        3,
        "not an ONNX model",
        written(lambda _: model().SerializeToString()[:-9]),
        ONLY,
    ),
    Case(
        "a pickle",
        3,
        "not an ONNX model",
        written(b"\x80\x02cos\nsystem\nX\x0c\0\0\0touch canary\x85R."),
        ONLY,
    ),
    Case(
        "a model without a graph",
        3,
        "no IR version, graph or opset",
        written(onnx.ModelProto(ir_version=8)),
        ONLY,
    ),
    Case("a model that is missing", 6, "does not exist", lambda _: None, ONLY),
    Case("a directory", 6, "is a directory|directory", lambda place: (place / "model.onnx").mkdir(), ONLY),
    Case("a named pipe", 6, "not a regular file", pipe_model, ONLY),
    Case(
        "a device without end",
        6,
        "not a regular file",
        lambda place: (place / "model.onnx").symlink_to("/dev/zero"),
        ONLY,
    ),
    Case(
        "weights above the model",
        3,
        OUTSIDE,
        written(lambda p: beside(b"", "../secret.bin")(p) or model(external("../secret.bin"))),
        ONLY,
    ),
    Case(
        "weights above through a folder",
        3,
        OUTSIDE,
        lambda p: ((p / "sub").mkdir(), beside(model(external("sub/../../secret.bin")), "../secret.bin")(p)),
        ONLY,
    ),
    Case("weights at the root", 3, OUTSIDE, written(model(external("/etc/passwd", 0, None))), ONLY),
    Case("weights on a device", 3, f"{OUTSIDE}|regular", written(model(external("/dev/zero"))), ONLY),
    Case(
        "weights in a file of the process",
        3,
        OUTSIDE,
        written(model(external("/proc/self/environ", 0, None))),
        ONLY,
    ),
    Case("weights through a link outside", 3, OUTSIDE, linked("/etc/passwd"), ONLY),
    Case("weights through a link to a device", 3, OUTSIDE, linked("/dev/zero"), ONLY),
    Case("weights in a named pipe", 3, "regular|is missing", piped, ONLY),
    Case(
        "weights in a directory",
        3,
        "regular|is missing|outside",
        lambda p: ((p / "weights.bin").mkdir(), written(model(external("weights.bin")))(p)),
        ONLY,
    ),
    Case("weights in no file", 3, "names no file|outside|is missing", written(model(external(""))), ONLY),
    Case(
        "weights in a file of a null", 3, "names|is missing|outside", written(model(external("a\0b"))), ONLY
    ),
    Case("weights in a file of an escape", 3, "names no file", written(model(external("\x1b[2Jx"))), ONLY),
    Case("weights that are missing", 3, "is missing", written(model(external("weights.bin"))), ONLY),
    Case(
        "weights that end early",
        3,
        "ends before byte",
        beside(model(external("weights.bin", 4000, 256))),
        ONLY,
    ),
    Case(
        "weights at a negative place",
        3,
        "offset|length",
        beside(model(external("weights.bin", -256, 256))),
        ONLY,
    ),
    Case(
        "weights of a negative length",
        3,
        "offset|length",
        beside(model(external("weights.bin", 0, -256))),
        ONLY,
    ),
    Case(
        "weights of a length of text",
        3,
        "offset|length",
        beside(model(external("weights.bin", 0, "many"))),
        ONLY,
    ),
    Case(
        "weights of a length of 5000 digits",
        3,
        "offset|length",
        beside(model(external("weights.bin", 0, "9" * 5000))),
        ONLY,
    ),
    Case(
        "weights of fewer bytes than elements",
        3,
        "bytes",
        beside(model(external("weights.bin", 0, 16))),
        ONLY,
    ),
    Case(
        "weights in a constant above the model",
        3,
        OUTSIDE,
        lambda p: beside(in_attribute("../secret.bin"), "../secret.bin")(p),
        ONLY,
    ),
    Case(
        "sparse weights above the model",
        3,
        OUTSIDE,
        lambda p: beside(in_sparse("../secret.bin"), "../secret.bin")(p),
        ONLY,
    ),
    Case(
        "weights that shrink while they are read",
        3,
        "weights.bin|changed|ends",
        beside(model(external("weights.bin"))),
        ONLY,
        [("mmap", 1, "cut", "weights.bin"), ("pread", 1, "cut", "weights.bin")],
    ),
    Case("a weight of 2^40 elements in 256 bytes", 3, "w", written(oversized()), ONLY),
    Case("a weight of a negative size", 3, "w", written(negative()), ONLY),
    Case("graphs 3000 deep", 3, "not an ONNX model", written(nested(3000)), ONLY),
    Case(
        "an opset that is converted of a model that is none",
        4,
        "cannot convert",
        written(model(nodes=[helper.make_node("NoSuchOp", ["x", "w"], ["y"])])),
        (("optimize", "model.onnx", "-o", "done.onnx", "--opset", "20"),),
    ),
]
