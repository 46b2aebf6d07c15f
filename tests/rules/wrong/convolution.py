"""Wrong ways to lay out convolutions."""

from __future__ import annotations

from vampconv_rules.convolution import ConvOverImage, InterleaveTransposed

from .variant import also, unguarded, wrong


def image(op, x, weight, bias, strides, dilations, pads, *, axis=2):
    return op.Squeeze(
        op.Conv(
            op.Unsqueeze(x, [axis]),
            op.Unsqueeze(weight, [axis]),
            bias,
            strides=strides,
            dilations=dilations,
            pads=pads,
        ),
        [axis],
    )


for mistake, layout in {
    "strides forgotten": "1 1 1 d 0 b 0 e",
    "dilations forgotten": "1 s 1 1 0 b 0 e",
    "strides and dilations exchanged": "1 d 1 s 0 b 0 e",
    "paddings exchanged": "1 s 1 d 0 e 0 b",
    "the first padding at both ends": "1 s 1 d 0 b 0 b",
    "paddings in pairs by axis": "1 s 1 d 0 0 b e",
    "no padding": "1 s 1 d 0 0 0 0",
    "no padding at the end": "1 s 1 d 0 b 0 0",
}.items():

    @wrong(ConvOverImage, mistake)
    def _after(op, x, weight, bias, strides, dilations, pads, layout=layout):
        known = {"s": strides[0], "d": dilations[0], "b": pads[0], "e": pads[1], "0": 0, "1": 1}
        numbers = [known[letter] for letter in layout.split()]
        return image(op, x, weight, bias, numbers[:2], numbers[2:4], numbers[4:])


@wrong(ConvOverImage, "no bias")
def _after(op, x, weight, bias, strides, dilations, pads):
    layout = [1, *strides], [1, *dilations], [0, pads[0], 0, pads[1]]
    return image(op, x, weight, op.Mul(bias, 0.0), *layout)


@wrong(ConvOverImage, "the batch's rows as the image's")
def _after(op, x, weight, bias, strides, dilations, pads):
    y = op.Conv(
        op.Unsqueeze(op.Transpose(x, perm=[1, 0, 2]), [0]),
        op.Unsqueeze(weight, [2]),
        bias,
        strides=[1, *strides],
        dilations=[1, *dilations],
        pads=[1, pads[0], 0, pads[1]],
    )
    return op.Transpose(op.Squeeze(y, [0]), perm=[1, 0, 2])


also(ConvOverImage, "unguarded", require=unguarded)


def phases(op, x, weight, bias, strides, pads, m, **parts):
    """The replacement with some of its parts exchanged."""
    (stride,), (begin, end) = strides, pads
    into, out = m.size("weight", 0), m.size("weight", 1)
    taps = op.Reshape(weight, [into, out, 2, stride])
    if parts.get("flip", True):
        taps = op.Gather(taps, [1, 0], axis=2)
    if parts.get("phases_flipped"):
        taps = op.Gather(taps, list(range(stride))[::-1], axis=3)
    kernel = op.Transpose(taps, perm=parts.get("perm", [1, 3, 0, 2]))
    kernel = op.Reshape(kernel, [out * stride, into, 2])
    columns = [op.Reshape(bias, [out, 1])] * stride
    each = op.Reshape(op.Concat(*columns, axis=parts.get("bias_axis", 1)), [out * stride])
    each = op.Mul(each, parts.get("bias", 1.0))
    y = op.Conv(x, kernel, each, strides=[1], dilations=[1], pads=parts.get("pads", [1, 1]))
    grid = op.Reshape(y, parts.get("grid", lambda n, s: [0, n, s, -1])(out, stride))
    moments = op.Transpose(grid, perm=[0, 1, 3, 2]) if parts.get("interleave", True) else grid
    begin, end = parts.get("cut", lambda b, e: (b, e))(begin, end)
    return op.Slice(op.Reshape(moments, [0, out, -1]), [begin], [-end or 2**31], [2])


for mistake, parts in {
    "taps in the wrong order": {"flip": False},
    "phases in the wrong order": {"phases_flipped": True},
    "phases before channels": {"perm": [3, 1, 0, 2]},
    "taps taken for phases": {"perm": [1, 2, 0, 3]},
    "biases one after the other": {"bias_axis": 0},
    "no bias": {"bias": 0.0},
    "a bias for each phase": {"bias": 0.5},
    "no zeros at the beginning": {"pads": [0, 1]},
    "no zeros at the end": {"pads": [1, 0]},
    "not interleaved": {"interleave": False},
    "channels and phases exchanged": {"grid": lambda n, s: [0, s, n, -1]},
    "ends exchanged": {"cut": lambda b, e: (e, b)},
    "nothing cut at the end": {"cut": lambda b, _e: (b, 0)},
    "nothing cut at the beginning": {"cut": lambda _b, e: (0, e)},
    "one more cut": {"cut": lambda b, e: (b + 1, e)},
}.items():

    @wrong(InterleaveTransposed, mistake)
    def _after(op, x, weight, bias, strides, pads, m, parts=parts):
        return phases(op, x, weight, bias, strides, pads, m, **parts)


also(InterleaveTransposed, "unguarded", require=unguarded)
