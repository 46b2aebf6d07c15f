"""WaveBeat's strided convolutional network as a graph of ``vamp`` ops."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import onnx_ir as ir

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.convolutions import FLOAT, typed, weight_shape
from vampconv.frontend.module_builder import ModuleBuilder
from vampconv.frontend.weights import Weights

EPS = 1e-5
SAMPLE_RATE = 22050
LARGEST = 1 << 16
"""Of strides and the like: more cannot be meant."""
FASTEST = 1e9
LONGEST = 1 << 24
"""Of a dilation."""


@dataclass(frozen=True)
class WaveBeatArchitecture:
    """Sizes of a beat tracker, named as its hyper-parameters."""

    nblocks: int
    kernel_size: int
    stride: int
    dilation_growth: int
    stack_size: int
    channels: tuple[int, ...]
    noutputs: int
    target_sample_rate: float
    """Frames per second, at which beats are picked."""

    def as_json(self) -> dict[str, Any]:
        """The fields as plain values, with the rate of the audio in Hz."""
        return {**asdict(self), "channels": list(self.channels), "sample_rate": SAMPLE_RATE}


def read_wavebeat(weights: Weights, metadata: Mapping[str, object]) -> WaveBeatArchitecture:
    """Sizes of the network: channels and kernel from the weights, strides and dilations from the metadata.

    Raises
    ------
    BadInputError
        If hyper-parameters are missing, or contradict the weights.
    UnsupportedModelError
        If the network has another normalisation or activation.

    """
    name = weights.checkpoint.path.name
    parameters = metadata.get("hyper_parameters")
    given: Mapping[str, Any] = parameters if isinstance(parameters, Mapping) else {}
    for key in ("stride", "dilation_growth", "stack_size"):
        if key not in given:
            raise BadInputError(
                f"{name}: its hyper-parameters do not give {key}", "give the Lightning checkpoint"
            )
        if not isinstance(given[key], int) or isinstance(given[key], bool) or not 1 <= given[key] <= LARGEST:
            raise BadInputError(
                f"{name}: its hyper-parameters say {key}={given[key]!r}",
                f"it must be a whole number from 1 to {LARGEST}",
            )
    rate = given.get("target_sample_rate")
    if rate is not None and (not isinstance(rate, (int, float)) or not 0 < rate <= FASTEST):
        raise BadInputError(
            f"{name}: its hyper-parameters say target_sample_rate={rate!r}", "it must be a number of Hz"
        )
    for key, known in (("norm_type", "BatchNorm"), ("act_type", "PReLU")):
        if repr(given.get(key, known)) != repr(known):
            raise UnsupportedModelError(f"{name} says {key}={given[key]!r}", f"only {known} can be converted")
    blocks = {int(m[1]) for n in weights.tensors if (m := re.match(r"blocks\.(\d+)\.", n))}
    shapes = [weight_shape(weights, f"blocks.{i}.conv1.weight") for i in range(max(len(blocks), 1))]
    found = WaveBeatArchitecture(
        nblocks=len(shapes),
        kernel_size=shapes[0][2],
        stride=given["stride"],
        dilation_growth=given["dilation_growth"],
        stack_size=given["stack_size"],
        channels=tuple(shape[0] for shape in shapes),
        noutputs=weight_shape(weights, "output.weight")[0],
        target_sample_rate=rate or SAMPLE_RATE / given["stride"] ** len(shapes),
    )
    _check_dilation(found, name)
    widths = {"channel_width": found.channels[0]}
    if len(shapes) > 1:
        widths["channel_growth"] = found.channels[1] - found.channels[0]
    for key, here in (asdict(found) | widths).items():
        if key in ("nblocks", "kernel_size", "noutputs", *widths) and repr(given.get(key, here)) != repr(
            here
        ):
            raise BadInputError(
                f"{name}: the hyper-parameters say {key}={given[key]!r}, the weights {here!r}",
                "weights and hyper-parameters are not of one model",
            )
    return found


def _check_dilation(found: WaveBeatArchitecture, name: str) -> None:
    if found.dilation_growth ** (min(found.stack_size, found.nblocks) - 1) > LONGEST:
        raise BadInputError(
            f"{name}: dilation_growth={found.dilation_growth} and stack_size={found.stack_size} make a dilation of "
            f"more than {LONGEST}",
            "weights and hyper-parameters are not of one model",
        )


def build_wavebeat(weights: Weights, architecture: WaveBeatArchitecture, *, opset: int) -> ir.Model:
    """``audio`` float32 [batch, 1, samples] -> ``activations`` float32 [batch, 2, frames], after the sigmoid."""
    b, a = ModuleBuilder(weights), architecture
    x = b.input("audio", ir.DataType.FLOAT, "batch", 1, "samples")
    into = 1
    for i, out in enumerate(a.channels):
        with b.module(f"blocks.{i}"):
            x = _block(b, x, out, into, a, a.dilation_growth ** (i % a.stack_size))
        into = out
    with b.module("output"):
        x = _conv(b, x, a.noutputs, into, 1)
        activations = b.mark(b.op.Sigmoid(x), ".#1")
    activations.name, activations.type = "activations", FLOAT
    activations.shape = ir.Shape(("batch", a.noutputs, "frames"))
    return b.finish("wavebeat", activations, opset, a.as_json())


def _block(
    b: ModuleBuilder, x: ir.Value, out: int, into: int, a: WaveBeatArchitecture, dilation: int
) -> ir.Value:
    with b.module("conv1"):
        y = _conv(b, x, out, into, a.kernel_size, stride=a.stride, dilation=dilation)
    with b.module("norm1"):
        y = _batch_norm(b, y, out)
    with b.module("act1"):
        slope = b.op.Unsqueeze(b.weight("weight", out), [1])
        y = b.mark(typed(b.op.PRelu(y, slope), out))
    with b.module("res_conv"):
        rest = _conv(b, x, out, into, 1, stride=a.stride)
    with b.module("res_norm"):
        rest = _batch_norm(b, rest, out)
    return b.mark(b.add(y, rest))


def _conv(
    b: ModuleBuilder, x: ir.Value, out: int, into: int, kernel: int, *, stride: int = 1, dilation: int = 1
) -> ir.Value:
    pad = (kernel - 1) * dilation // 2
    attributes = {"strides": [stride], "dilations": [dilation], "pads": [pad, pad]}
    y = b.op.Conv(x, b.weight("weight", out, into, kernel), b.weight("bias", out), **attributes)
    return b.mark(typed(y, out))


def _batch_norm(b: ModuleBuilder, x: ir.Value, width: int) -> ir.Value:
    names = ("weight", "bias", "running_mean", "running_var")
    b.weights.ignore(f"{b.path}.num_batches_tracked", "counts training steps")
    return b.mark(b.vamp.BatchNorm(x, *(b.weight(name, width) for name in names), eps=EPS))
