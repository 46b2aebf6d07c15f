"""Wrong cosines."""

from __future__ import annotations

from vampconv_rules.unit_snake import CosineSnake

from .variant import also, unguarded, wrong


def cosine(op, x, weight, bias, layout, out_weight, out_bias, out_layout, **parts):
    """The replacement with some of its parts exchanged."""
    inner = op.Conv(x, op.Mul(weight, parts.get("w", 2.0)), op.Mul(bias, parts.get("b", 2.0)), **layout)
    cos = op.Cos(inner)
    waves = op.Add(inner, cos) if parts.get("plus") else op.Sub(inner, cos)
    halved = op.Mul(out_weight, parts.get("out", 0.5))
    one = op.Mul(op.ReduceSum(halved, [1, 2], keepdims=0), parts.get("one", 1.0))
    out_bias = op.Mul(out_bias, parts.get("out_bias", 1.0))
    return op.Conv(waves, halved, op.Add(out_bias, one), **out_layout)


for mistake, parts in {
    "weight not doubled": {"w": 1.0},
    "bias not doubled": {"b": 1.0},
    "weight halved": {"w": 0.5},
    "second weight not halved": {"out": 1.0},
    "second weight doubled": {"out": 2.0},
    "the 1 forgotten": {"one": 0.0},
    "the 1 not halved": {"one": 2.0},
    "the 1 taken off": {"one": -1.0},
    "second bias halved": {"out_bias": 0.5},
    "no second bias": {"out_bias": 0.0},
    "cosine added": {"plus": True},
}.items():

    @wrong(CosineSnake, mistake)
    def _after(
        op, x, weight, bias, strides, dilations, pads,
        out_weight, out_bias, out_strides, out_dilations, out_pads, parts=parts,
    ):  # fmt: skip
        layout = {"strides": strides, "dilations": dilations, "pads": pads}
        out_layout = {"strides": out_strides, "dilations": out_dilations, "pads": out_pads}
        return cosine(op, x, weight, bias, layout, out_weight, out_bias, out_layout, **parts)


@wrong(CosineSnake, "strides exchanged")
def _after(
    op, x, weight, bias, strides, dilations, pads,
    out_weight, out_bias, out_strides, out_dilations, out_pads,
):  # fmt: skip
    layout = {"strides": out_strides, "dilations": dilations, "pads": pads}
    out_layout = {"strides": strides, "dilations": out_dilations, "pads": out_pads}
    return cosine(op, x, weight, bias, layout, out_weight, out_bias, out_layout)


also(CosineSnake, "unguarded", require=unguarded)
