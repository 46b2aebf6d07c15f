"""Shape rules: what they say is what the meaning returns, and misfits are told clearly."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vampconv.dialect import OPS

SIZE = st.integers(1, 5)

b, t, d, o, r, n = "b", "t", "d", "o", "r", "n"
INPUTS = {
    "RMSNorm": ([(b, t, d), (d,)], {"eps": 1e-6}),
    "GatedGELU": ([(b, t, "2d")], {}),
    "TanhGELU": ([(b, t, d)], {}),
    "Attention": ([(b, t, "6d"), (b, t, "6d"), (b, t, "6d"), (1, 3, t, t)], {"heads": 3}),
    "RelativePositionBias": ([("length",), (32, d)], {"max_distance": 128}),
    "WeightNorm": ([(o, 1, 1), (o, d, n)], {}),
    "LoRA": ([(o, d), (r, d), (o, r)], {"scale": 0.125}),
    "CodebookEmbedding": ([("codes", b, 4, t), (n, d), (4, d)], {"codebook": 2}),
    "Linear": ([(b, t, d), (o, d), (o,)], {}),
    "PointwiseConv": ([(b, t, d), (o, d, 1), (o,)], {}),
    "Classifier": ([(b, t, d), ("4o", d, 1), ("4o",)], {"n_predict": 4}),
    "ControlEncoder": ([(b, d, t), (b, t), (o, d), (o,)], {}),
    "FiLM": ([(b, t, d), (b, r), (d, r), (d,), (d, r), (d,)], {}),
    "NoiseEmbedding": ([(b,)], {"dim": 7}),
    "Snake": ([(b, d, t), (1, d, 1)], {}),
    "UnitSnake": ([(b, d, t)], {}),
    "PadToMultiple": ([(b, d, t)], {"multiple": 3}),
    "BatchNorm": ([(b, d, t), (d,), (d,), (d,), (d,)], {"eps": 1e-5}),
    "NearestCode": ([(b, t, d), (n, d)], {}),
    "Requantize": ([(n, d)], {}),
    "DecodeCodes": ([("codes", b, 4, t), (5, n, d), (5, o, d), (5, o)], {}),
}
"""Dimensions of every op's inputs, and its attributes."""

OPTIONAL = {"Attention": 1, "Linear": 1, "FiLM": 5}
"""How many of the last inputs may be left out together."""


ANY_SHAPE = {"UnitSnake", "PadToMultiple", "TanhGELU"}
"""Ops that take what other ops refuse: any size, and any number of axes."""


def filled(dimension, sizes):
    if isinstance(dimension, int):
        return dimension
    factor, name = (int(dimension[0]), dimension[1]) if dimension[0].isdigit() else (1, dimension)
    return factor * sizes[name]


def array(dimensions, sizes):
    if dimensions[0] == "length":
        return np.array([sizes[t]])
    random = np.random.default_rng(1)
    if dimensions[0] == "codes":
        return random.integers(0, sizes[n] + 1, [filled(x, sizes) for x in dimensions[1:]])
    return np.abs(random.standard_normal([filled(x, sizes) for x in dimensions]))  # variances too


def arrays(name, sizes, left_out=0):
    dimensions, attributes = INPUTS[name]
    return [array(x, sizes) for x in dimensions[: len(dimensions) - left_out]], attributes


def test_every_op_is_here():
    assert set(INPUTS) == set(OPS)


@pytest.mark.parametrize("name", INPUTS)
@settings(deadline=None, max_examples=30, derandomize=True)
@given(sizes=st.fixed_dictionaries(dict.fromkeys("btdorn", SIZE)), short=st.booleans())
def test_the_shape_rule_says_what_the_meaning_returns(name, sizes, short):
    inputs, attributes = arrays(name, sizes, OPTIONAL.get(name, 0) if short else 0)
    result = OPS[name].meaning(*inputs, **attributes)
    said = OPS[name].shape(*(x.shape for x in inputs), **attributes)
    assert tuple(sizes[t] if x == "time" else x for x in said) == result.shape
    assert np.isfinite(result).all()


@pytest.mark.parametrize("name", INPUTS)
def test_dynamic_dimensions_pass_through_by_name(name):
    sizes = {"d": 2, "o": 3, "r": 2, "n": 3, "b": "batch", "t": "time"}
    dimensions, attributes = INPUTS[name]
    plain = {"length": (1,), "codes": ("batch", 4, "time")}
    shapes = [plain.get(x[0]) or tuple(filled(y, sizes) for y in x) for x in dimensions]
    said = OPS[name].shape(*shapes, **attributes)
    known = {"batch", "time", "time*4", *([None] if name == "PadToMultiple" else [])}
    assert {x for x in said if not isinstance(x, int)} <= known


def misfits():
    """One dimension of one input changed, or an axis added or taken away."""
    sizes = {"b": 2, "t": 3, "d": 4, "o": 5, "r": 6, "n": 7}
    for name in INPUTS:
        inputs, attributes = arrays(name, sizes)
        shapes = [x.shape for x in inputs]
        for index, shape in enumerate(shapes):
            changed = [(*shape[:i], size + 1, *shape[i + 1 :]) for i, size in enumerate(shape)]
            for other in (*changed, shape[:-1], (*shape, 3)):
                yield name, (*shapes[:index], other, *shapes[index + 1 :]), attributes


@pytest.mark.parametrize("name", INPUTS)
def test_misfits_are_refused_with_a_value_error_or_truly_fit(name):
    """Whatever a shape rule lets pass, the meaning computes, with the shape it says."""
    refused = 0
    for op, shapes, attributes in misfits():
        if op != name:
            continue
        try:
            said = OPS[name].shape(*shapes, **attributes)
        except ValueError:
            refused += 1
            continue
        inputs = [
            np.zeros(s, np.int64 if INPUTS[name][0][i][0] == "codes" else float) for i, s in enumerate(shapes)
        ]
        if name == "RelativePositionBias":
            inputs[0] = np.array([3])
        with np.errstate(invalid="ignore"):
            result = OPS[name].meaning(*inputs, **attributes)
        assert tuple(3 if x == "time" else x for x in said) == result.shape, (name, shapes)
    assert refused >= len(INPUTS[name][0]) or name in ANY_SHAPE


@pytest.mark.parametrize(
    ("name", "shapes", "attributes", "message"),
    [
        ("RMSNorm", [(1, 2, 4), (5,)], {"eps": 1e-6}, "does not fit the last axis"),
        ("RMSNorm", [(1, 2, 4), (4,)], {"eps": 0.0}, "is not positive"),
        ("GatedGELU", [(1, 2, 5)], {}, "cannot be halved"),
        ("GatedGELU", [(1, 2, "dim")], {}, "cannot be halved"),
        ("Attention", [(1, 2, 4)] * 3, {"heads": 3}, "heads do not divide"),
        ("Attention", [(1, 2, 4), (1, 3, 4), (1, 3, 4)], {"heads": 2}, "differ"),
        ("Attention", [*[(1, 2, 4)] * 3, (1, 3, 2, 2)], {"heads": 2}, "not for 2 heads"),
        ("RelativePositionBias", [(2,), (32, 4)], {"max_distance": 128}, "not one number"),
        ("RelativePositionBias", [(1,), (30, 4)], {"max_distance": 128}, "cannot be quartered"),
        ("RelativePositionBias", [(1,), (32, 4)], {"max_distance": 8}, "no logarithmic bucket"),
        ("WeightNorm", [(4,), (4,)], {}, "no axis"),
        ("WeightNorm", [(1, 4, 1), (3, 4, 1)], {}, "does not fit v"),
        ("LoRA", [(4, 5), (3, 5), (4, 2)], {"scale": 1.0}, "does not fit weight"),
        ("LoRA", [(4, 5), (3, 5), (4, 3)], {"scale": -1.0}, "not positive"),
        ("CodebookEmbedding", [(1, 4, 2), (7, 3), (4, 3)], {"codebook": 4}, "no codebook 4"),
        ("CodebookEmbedding", [(1, 4, 2), (7, 3), (3, 3)], {"codebook": 0}, "mask rows"),
        ("Linear", [(1, 2, 4), (4, 3)], {}, "does not map"),
        ("PointwiseConv", [(1, 2, 4), (3, 4, 2), (3,)], {}, "does not map"),
        ("Classifier", [(1, 2, 4), (7, 4, 1), (7,)], {"n_predict": 2}, "do not divide"),
        ("ControlEncoder", [(1, 3, 5), (1, 5, 1), (4, 3), (4,)], {}, "wrong rank"),
        ("FiLM", [(1, 2, 4), (1, 3), (4, 3)], {}, "weight and bias"),
        ("Snake", [(1, 4, 9), (1, 3, 1)], {}, "does not fit"),
        ("Snake", [(1, 4, 9), (4,)], {}, "wrong rank"),
        ("Snake", [(1, 4, 9), (1, 4, 9)], {}, "does not fit"),
        ("PadToMultiple", [(1, 4)], {"multiple": 0}, "is not positive"),
        ("PadToMultiple", [()], {"multiple": 4}, "no axis"),
        ("BatchNorm", [(1, 4, 9), (3,), (3,), (3,), (3,)], {"eps": 1e-5}, "does not fit"),
        ("BatchNorm", [(1, 4, 9), (4,), (4,), (4,), (1,)], {"eps": 1e-5}, "differ in shape"),
        ("BatchNorm", [(1, 4), (4,), (4,), (4,), (4,)], {"eps": 1e-5}, "is not"),
        ("BatchNorm", [(1, 4, 9), (4,), (4,), (4,), (4,)], {"eps": 0.0}, "is not positive"),
        ("NearestCode", [(1, 9, 4), (7, 3)], {}, "does not fit latents"),
        ("NearestCode", [(9, 4), (7, 4)], {}, "wrong rank"),
        ("Requantize", [(7,)], {}, "is not"),
        ("DecodeCodes", [(1, 9), (3, 7, 4), (3, 6, 4), (3, 6)], {}, "wrong rank"),
        ("DecodeCodes", [(1, 2, 9), (3, 7, 4), (6, 3, 4), (6, 3)], {}, "do not map tables"),
        ("DecodeCodes", [(1, 2, 9), (3, 7, 4), (3, 6, 5), (3, 6)], {}, "do not map tables"),
        ("DecodeCodes", [(1, 2, 9), (3, 7, 4), (3,), (3, 6)], {}, "wrong rank"),
        ("DecodeCodes", [(1, 2, 9), (3, 7, 4), (3, 6, 4), (3, 5)], {}, "do not fit"),
        ("NoiseEmbedding", [(2, 1)], {"dim": 8}, "is not"),
        ("NoiseEmbedding", [(2,)], {"dim": 3}, "two frequencies"),
    ],
)
def test_a_misfit_is_told(name, shapes, attributes, message):
    with pytest.raises(ValueError, match=message):
        OPS[name].shape(*shapes, **attributes)
