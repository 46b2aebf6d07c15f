"""The gated linear unit in standard ONNX: its input split in two, or made by two convolutions."""

from vampconv.dialect import vamp
from vampconv.rewrite import Close, Refused, Rule, Sample, Stage


class SplitGatedUnit(Rule):
    """``GatedLinearUnit`` is the first half of the channels times the sigmoid of the second.

    Runtimes approximate the sigmoid to some 10⁻⁷ of 1, which the other half multiplies.
    """

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(op, x):
        return vamp(op).GatedLinearUnit(x)

    @staticmethod
    def require(m):
        yield m.size("x", 1) > 0, "the number of channels must be known"

    @staticmethod
    def after(op, x, m):
        half = m.size("x", 1) // 2
        a, b = op.Split(x, [half, half], axis=1, outputs=2)
        return op.Mul(a, op.Sigmoid(b))

    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", 6, "time"))
        yield Sample(x=draw("batch", 2, "time", scale=30.0))
        yield Refused("number of channels", x=draw.unranked("batch", 6, "time"))


class ConvolveGatesApart(Rule, before="SplitGatedUnit"):
    """The unit of a convolution is a convolution times the sigmoid of another, each with half the filters."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-4, atol=1e-5)
    default = False

    @staticmethod
    def before(op, x, weight, bias, strides, dilations, pads):
        y = op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)
        return vamp(op).GatedLinearUnit(y)

    @staticmethod
    def require(m):
        yield m.shape("weight") is not None, "the size of the weight must be known"

    @staticmethod
    def after(op, x, weight, bias, strides, dilations, pads, m):
        half = m.size("weight", 0) // 2
        first, second = list(range(half)), list(range(half, 2 * half))
        a, b = (
            op.Conv(
                *(x, op.Gather(weight, rows, axis=0), op.Gather(bias, rows, axis=0)),
                strides=strides, dilations=dilations, pads=pads,
            )
            for rows in (first, second)
        )  # fmt: skip
        return op.Mul(a, op.Sigmoid(b))

    @staticmethod
    def evidence(draw):
        plain = {"strides": [1], "dilations": [1], "pads": [1, 1]}
        yield Sample(x=draw("batch", 3, "time"), weight=draw(8, 3, 3), bias=draw(8), **plain)
        wide = {"strides": [1], "dilations": [2], "pads": [2, 2]}
        yield Sample(x=draw("batch", 3, "time"), weight=draw(4, 3, 3), bias=draw(4), **wide)
        unknown = draw.unranked(4, 3, 3)
        yield Refused("size of the weight", x=draw("batch", 3, "time"), weight=unknown, bias=draw(4), **plain)


RULES = (SplitGatedUnit, ConvolveGatesApart)
