"""Small linear graphs whose weights are all one: an impulse shows what sees it, and sums are exact."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Conv(NamedTuple):
    kernel: int
    stride: int = 1
    dilation: int = 1
    pads: tuple[int, int] = (0, 0)


class Up(NamedTuple):
    kernel: int
    stride: int = 1
    pads: tuple[int, int] = (0, 0)
    more: int = 0


class Residual(NamedTuple):
    kernel: int
    dilation: int = 1


class Interleave(NamedTuple):
    factor: int


class Crop(NamedTuple):
    start: int
    end: int


class Zeros(NamedTuple):
    start: int
    end: int


class Multiple(NamedTuple):
    of: int


Layer = Conv | Up | Residual | Interleave | Crop | Zeros | Multiple


class Toy:
    """A graph of some layers on ``x`` float32 [batch, 1, time]."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, value: object, dtype: type = np.int64) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.array(value, dtype), name))
        return name

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name, **attributes))
        return name

    def conv(self, x: str, kind: str, shape: tuple[int, int, int], **attributes: object) -> str:
        return self.op(kind, x, self.constant(np.ones(shape), np.float32), **attributes)

    def layer(self, x: str, layer: Layer) -> str:
        match layer:
            case Conv(kernel, stride, dilation, pads):
                options = {"strides": [stride], "dilations": [dilation], "pads": pads}
                return self.conv(x, "Conv", (1, 1, kernel), **options)
            case Up(kernel, stride, pads, more):
                options = {"strides": [stride], "pads": pads, "output_padding": [more]}
                return self.conv(x, "ConvTranspose", (1, 1, kernel), **options)
            case Residual(kernel, dilation):
                pad = (kernel - 1) * dilation // 2
                y = self.conv(x, "Conv", (1, 1, kernel), dilations=[dilation], pads=[pad, pad])
                return self.op("Add", x, y)
            case Interleave(factor):
                y = self.conv(x, "Conv", (factor, 1, 1))
                y = self.op("Reshape", y, self.constant([0, 1, factor, -1]))
                y = self.op("Transpose", y, perm=[0, 1, 3, 2])
                return self.op("Reshape", y, self.constant([0, 1, -1]))
            case Crop(start, end):
                bounds = self.constant([start]), self.constant([-end or 1 << 62]), self.constant([2])
                return self.op("Slice", x, *bounds)
            case Zeros(start, end):
                return self.op("Pad", x, self.constant([0, 0, start, 0, 0, end]))
            case Multiple(of):
                length = self.op("Neg", self.op("Shape", x, start=2, end=3))
                missing = self.op("Mod", length, self.constant(of))
                return self.op("Pad", x, self.op("Concat", self.constant([0] * 5), missing, axis=0))
        raise AssertionError(layer)

    def finish(self, output: str) -> onnx.ModelProto:
        ports = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 1, time])
            for name, time in (("x", "time"), (output, "after"))
        ]
        graph = helper.make_graph(self.nodes, "toy", ports[:1], ports[1:], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def toy(*layers: Layer) -> onnx.ModelProto:
    """A model of some layers in a row."""
    built = Toy()
    x = "x"
    for layer in layers:
        x = built.layer(x, layer)
    return built.finish(x)


def saved(model: onnx.ModelProto, directory: Path) -> Path:
    path = directory / "toy.onnx"
    onnx.save(model, path)
    return path
