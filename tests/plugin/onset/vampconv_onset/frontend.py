"""Onset detectors as graphs: gated convolutions over a spectrogram, with residuals, and a head."""

import re
from functools import partial

import onnx_ir as ir

from vampconv.errors import BadInputError
from vampconv.frontend.frontend import Draft, Frontend
from vampconv.frontend.module_builder import ModuleBuilder

KIND = "gated onset detector"


def recognises(names):
    return {"blocks.0.conv.weight", "blocks.0.conv.bias", "head.weight", "head.bias"} <= set(names)


def read(weights):
    count = len({m[1] for name in weights.tensors if (m := re.match(r"blocks\.(\d+)\.conv\.", name))})
    shapes = [weights.shape(f"blocks.{i}.conv.weight") for i in range(count)]
    if any(len(shape) != 3 or shape[0] % 2 or shape[2] % 2 == 0 for shape in shapes):
        raise BadInputError(
            f"{weights.checkpoint.path.name}: {shapes} are no filters of gated convolutions",
            "give the checkpoint as it was saved",
        )
    architecture = {
        "bands": shapes[0][1],
        "channels": shapes[0][0] // 2,
        "kernel": shapes[0][2],
        "blocks": count,
    }
    return [Draft("onset", architecture, partial(build, weights, architecture))]


def build(weights, a, *, opset):
    """``spectrum`` float32 [batch, bands, time] -> ``onsets`` float32 [batch, 1, time], after the sigmoid."""
    b = ModuleBuilder(weights)
    x = b.input("spectrum", ir.DataType.FLOAT, "batch", a["bands"], "time")
    into = a["bands"]
    for i in range(a["blocks"]):
        with b.module(f"blocks.{i}"):
            x = block(b, x, a["channels"], into, a["kernel"])
        into = a["channels"]
    with b.module("head"):
        x = conv(b, x, 1, into, 1)
    onsets = b.mark(b.op.Sigmoid(x), ".")
    onsets.name, onsets.type = "onsets", ir.TensorType(ir.DataType.FLOAT)
    onsets.shape = ir.Shape(("batch", 1, "time"))
    return b.finish("onset", onsets, opset, a)


def block(b, x, channels, into, kernel):
    with b.module("conv"):
        y = conv(b, x, 2 * channels, into, kernel)
    with b.module("gate"):
        y = b.mark(b.vamp.GatedLinearUnit(y))
    return b.mark(b.add(x, y)) if into == channels else b.mark(y)


def conv(b, x, out, into, kernel):
    pads = [kernel // 2, kernel // 2]
    weight, bias = b.weight("weight", out, into, kernel), b.weight("bias", out)
    y = b.op.Conv(x, weight, bias, strides=[1], dilations=[1], pads=pads)
    y.shape, y.type = ir.Shape(("batch", out, "time")), ir.TensorType(ir.DataType.FLOAT)
    return b.mark(y)


ONSET = Frontend(KIND, ("onset",), recognises, read)
