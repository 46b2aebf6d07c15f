"""Weight-normalised convolutions, Snakes and what is made of them."""

from __future__ import annotations

import onnx_ir as ir

from vampconv.errors import BadInputError
from vampconv.frontend.module_builder import ModuleBuilder
from vampconv.frontend.weights import Weights

FLOAT = ir.TensorType(ir.DataType.FLOAT)


def weight_shape(weights: Weights, name: str) -> tuple[int, int, int]:
    """Shape [first, second, kernel] of a convolution's weight.

    Raises
    ------
    BadInputError
        If it is missing, or of another rank, or empty.

    """
    shape = weights.shape(name)
    if len(shape) != 3 or 0 in shape:
        raise BadInputError(
            f"{weights.checkpoint.path.name}: {name} is {list(shape)}, not a convolution's weight",
            "the checkpoint is altered: get the one that was saved",
        )
    return shape


class Convolutions:
    """Builds the layers of convolutional models; x is [batch, channels, time] unless a method says otherwise."""

    def __init__(self, builder: ModuleBuilder) -> None:
        self.b = builder

    def conv(
        self, name: str, x: ir.Value, out: int, into: int, kernel: int,
        *, stride: int = 1, dilation: int = 1, padding: int | None = None,
    ) -> ir.Value:  # fmt: skip
        """A weight-normalised convolution; padded to keep the length, unless `padding` is given."""
        pad = (kernel - 1) * dilation // 2 if padding is None else padding
        weight, bias = self.normalised(name, out, into, kernel)
        with self.b.module(name):
            attributes = {"strides": [stride], "dilations": [dilation], "pads": [pad, pad]}
            return self.b.mark(typed(self.b.op.Conv(x, weight, bias, **attributes), out))

    def transposed(self, name: str, x: ir.Value, out: int, into: int, stride: int) -> ir.Value:
        """A weight-normalised transposed convolution of kernel ``2·stride``; its weight is [into, out, kernel]."""
        pad = stride // 2
        weight, bias = self.normalised(name, into, out, 2 * stride, bias=out)
        with self.b.module(name):
            attributes = {"strides": [stride], "dilations": [1], "pads": [pad, pad]}
            return self.b.mark(typed(self.b.op.ConvTranspose(x, weight, bias, **attributes), out))

    def normalised(
        self, name: str, first: int, second: int, kernel: int, *, bias: int | None = None
    ) -> tuple[ir.Value, ir.Value]:
        """Weight [first, second, kernel] and bias of a weight-normalised convolution."""
        with self.b.module(name):
            g = self.b.weight("weight_g", first, 1, 1)
            v = self.b.weight("weight_v", first, second, kernel)
            return self.b.vamp.WeightNorm(g, v), self.b.weight("bias", first if bias is None else bias)

    def snake(self, name: str, x: ir.Value, width: int) -> ir.Value:
        """Snake with an alpha for each channel."""
        with self.b.module(name):
            return self.b.mark(self.b.vamp.Snake(x, self.b.weight("alpha", 1, width, 1)))

    def residual(
        self, name: str, inner: str, x: ir.Value, width: int, kernels: tuple[int, int], dilation: int
    ) -> ir.Value:
        """Two convolutions of x, a Snake before each, the first one dilated; and x added to them."""
        with self.b.module(name):
            with self.b.module(inner):
                y = self.conv("1", self.snake("0", x, width), width, width, kernels[0], dilation=dilation)
                y = self.conv("3", self.snake("2", y, width), width, width, kernels[1])
            return self.b.mark(self.b.add(x, y))

    def pointwise(self, name: str, x: ir.Value, out: int, into: int) -> ir.Value:
        """A weight-normalised convolution of kernel 1 on x [batch, time, channels]."""
        weight, bias = self.normalised(name, out, into, 1)
        with self.b.module(name):
            return self.b.mark(self.b.vamp.PointwiseConv(x, weight, bias), order="021")

    def by_time(self, x: ir.Value, channels: int) -> ir.Value:
        """[batch, channels, time] -> [batch, time, channels]."""
        y: ir.Value = self.b.op.Transpose(x, perm=[0, 2, 1])
        y.shape, y.type = ir.Shape(("batch", "time", channels)), FLOAT
        return y

    def by_channel(self, x: ir.Value, channels: int) -> ir.Value:
        """[batch, time, channels] -> [batch, channels, time]."""
        return typed(self.b.op.Transpose(x, perm=[0, 2, 1]), channels)


def typed(x: ir.Value, channels: int) -> ir.Value:
    """x, known to be float32 [batch, channels, time]."""
    x.shape, x.type = ir.Shape(("batch", channels, None)), FLOAT
    return x
