"""Convolutions over time, laid out as runtimes compute them fastest."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops
from vampconv.rewrite import Close, Draw, Guard, Match, Refused, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-5)


class ConvOverImage(Rule):
    """A convolution over time as one over images of height 1, for which runtimes have blocked layouts.

    One of kernel 1 stays: it is a matrix product in either form.
    """

    stage = Stage.TARGET
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V) -> V:
        return op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield len(m.shape("weight") or ()) == 3, "not over one axis"
        yield m.size("weight", 2) > 1, "not known to look at more than one moment"

    @staticmethod
    def after(
        op: Ops, x: V, weight: V, bias: V, strides: list[int], dilations: list[int], pads: list[int]
    ) -> V:
        begin, end = pads
        image, kernel = op.Unsqueeze(x, [2]), op.Unsqueeze(weight, [2])
        layout = {"strides": [1, *strides], "dilations": [1, *dilations], "pads": [0, begin, 0, end]}
        return op.Squeeze(op.Conv(image, kernel, bias, **layout), [2])

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        plain: dict[str, V] = {"strides": [1], "dilations": [1], "pads": [1, 1]}
        x, bias = draw("batch", 2, "time"), draw(3)
        yield Sample(x=x, weight=draw(3, 2, 3), bias=bias, **plain)
        yield Sample(x=x, weight=draw(3, 2, 4), bias=bias, strides=[2], dilations=[1], pads=[3, 2])
        yield Sample(x=x, weight=draw(3, 2, 2), bias=bias, strides=[1], dilations=[3], pads=[0, 5])
        yield Refused("more than one moment", x=x, weight=draw(3, 2, 1), bias=bias, **plain)
        weight = draw.input(3, 2, "long")
        yield Refused("more than one moment", x=x, weight=weight, bias=bias, **plain)
        image: dict[str, V] = {"strides": [1, 1], "dilations": [1, 1], "pads": [1, 1, 1, 1]}
        x, weight = draw("batch", 2, "time", "long"), draw(3, 2, 3, 3)
        yield Refused("one axis", x=x, weight=weight, bias=bias, **image)


class InterleaveTransposed(Rule):
    """A transposed convolution of kernel ``2·stride`` as a convolution of kernel 2 and an interleaving.

    Its output ``n·stride + p``, before the ends are cut, is ``w[p]·x[n] + w[stride + p]·x[n − 1] + b``. So
    each p is a channel of its own, and the channels of one moment become the moments of one channel.
    """

    stage = Stage.TARGET
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V) -> V:
        return op.ConvTranspose(x, weight, bias, strides=strides, dilations=dilations, pads=pads)

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        yield len(m.shape("weight") or ()) == 3, "not over one axis"
        yield all(m.size("weight", axis) for axis in range(3)), "the weight's shape is not known"
        yield m.size("weight", 2) == 2 * m["strides"][0], "the kernel is not two strides wide"
        yield list(m["dilations"]) == [1], "it is dilated"

    @staticmethod
    def after(op: Ops, x: V, weight: V, bias: V, strides: list[int], pads: list[int], m: Match) -> V:
        (stride,), (begin, end) = strides, pads
        into, out = m.size("weight", 0), m.size("weight", 1)
        taps = op.Gather(op.Reshape(weight, [into, out, 2, stride]), [1, 0], axis=2)
        kernel = op.Reshape(op.Transpose(taps, perm=[1, 3, 0, 2]), [out * stride, into, 2])
        each = op.Reshape(op.Concat(*[op.Reshape(bias, [out, 1])] * stride, axis=1), [out * stride])
        phases = op.Conv(x, kernel, each, strides=[1], dilations=[1], pads=[1, 1])
        moments = op.Transpose(op.Reshape(phases, [0, out, stride, -1]), perm=[0, 1, 3, 2])
        whole = op.Reshape(moments, [0, out, -1])
        return op.Slice(whole, [begin], [-end or 2**31], [2]) if begin or end else whole

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        x = draw("batch", 3, "time")
        plain: dict[str, V] = {"bias": draw(2), "dilations": [1]}
        yield Sample(x=x, weight=draw(3, 2, 4), strides=[2], pads=[1, 1], **plain)
        yield Sample(x=x, weight=draw(3, 2, 6), strides=[3], pads=[1, 1], **plain)
        yield Sample(x=x, weight=draw(3, 2, 6), strides=[3], pads=[0, 2], **plain)
        yield Sample(x=x, weight=draw(3, 2, 6), strides=[3], pads=[2, 0], **plain)
        yield Sample(x=x, weight=draw(3, 2, 2), strides=[1], pads=[0, 0], **plain)
        yield Refused("two strides", x=x, weight=draw(3, 2, 5), strides=[2], pads=[1, 1], **plain)
        weight = draw.input(3, 2, "long")
        yield Refused("not known", x=x, weight=weight, strides=[2], pads=[1, 1], **plain)
        dilated: dict[str, V] = {**plain, "dilations": [2]}
        yield Refused("dilated", x=x, weight=draw(3, 2, 4), strides=[2], pads=[1, 1], **dilated)
        image: dict[str, V] = {"strides": [1, 1], "dilations": [1, 1], "pads": [0, 0, 0, 0]}
        x, weight = draw("batch", 3, "time", "long"), draw(3, 2, 2, 2)
        yield Refused("one axis", x=x, weight=weight, bias=draw(2), **image)


RULES = (InterleaveTransposed, ConvOverImage)
