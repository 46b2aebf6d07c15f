"""The field that is read from a graph, against impulses that are sent through it."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction

import numpy as np
import onnx
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.toy import Conv, Crop, Interleave, Multiple, Residual, Toy, Up, Zeros, toy
from vampconv.runtime.field import NotLocalError
from vampconv.runtime.receptive_field import field_of, receptive_field

LENGTH = 90


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})[0]


def seen(model):
    """For each output, the first and last input that it sees, found by an impulse at every input."""
    responses = run(model, np.eye(LENGTH, dtype=np.float32)[:, None])[:, 0] != 0
    return [(np.flatnonzero(column)[[0, -1]] if column.any() else None) for column in responses.T]


def slack(model):
    """How much wider at most the field is than what outputs far from the ends see."""
    field, most = field_of(model), 0
    for t, reach in enumerate(seen(model)):
        first, last = field.window(t)
        if reach is not None:
            assert first <= reach[0] <= reach[1] <= last
            if first >= 0 and last < LENGTH:
                most = max(most, reach[0] - first, last - reach[1])
    return most


DOWN = (
    (Conv(1),),
    (Conv(7, pads=(3, 3)),),
    (Conv(6, 3, pads=(1, 1)), Conv(10, 5, pads=(2, 2))),
    (Conv(3, 1, 9, (9, 9)), Residual(7, 3), Conv(4, 2, pads=(1, 1)), Residual(3)),
    (Zeros(2, 5), Conv(3, 2), Crop(0, 0)),
    (Multiple(12), Conv(8, 4, pads=(2, 2)), Conv(6, 3, pads=(1, 1))),
    (Conv(5, pads=(4, 4)), Crop(3, 2)),
)
UP = (
    (Up(4, 2, (1, 1)),),
    (Up(6, 3, (1, 1)), Residual(11, 5), Up(10, 5, (2, 2))),
    (Conv(7, pads=(3, 3)), Interleave(3), Residual(3)),
    (Up(5, 3, (1, 1), 1), Conv(3, pads=(1, 1))),
    (Conv(4, 2, pads=(1, 1)), Up(4, 2, (1, 1)), Conv(6, 3, pads=(1, 1))),
)


@pytest.mark.parametrize("layers", DOWN, ids=str)
def test_windows_of_convolutions_are_exact(layers):
    assert slack(toy(*layers)) == 0


@pytest.mark.parametrize("layers", UP, ids=str)
def test_windows_of_transposed_convolutions_are_nearly_exact(layers):
    assert slack(toy(*layers)) <= 2


def pads(most):
    return st.tuples(st.integers(0, most), st.integers(0, most))


LAYERS = st.lists(
    st.one_of(
        st.builds(Conv, st.integers(1, 5), st.integers(1, 3), st.integers(1, 3), pads(4)),
        st.builds(Up, st.integers(3, 6), st.integers(1, 3), pads(2), st.just(0)),
        st.builds(Residual, st.sampled_from((1, 3, 5)), st.integers(1, 4)),
        st.builds(Interleave, st.integers(2, 3)),
        st.builds(Zeros, st.integers(0, 3), st.integers(0, 3)),
        st.builds(Crop, st.integers(0, 2), st.integers(0, 2)),
    ),
    min_size=1,
    max_size=4,
)


@given(LAYERS)
@settings(max_examples=60, deadline=None)
def test_nothing_outside_of_the_window_is_seen(layers):
    with suppress(NotLocalError):
        slack(toy(*layers))


@pytest.mark.parametrize(
    ("name", "part", "jump", "period"),
    [
        ("codec", "encoder", 768, 768),
        ("codec", "decoder", Fraction(1, 768), 1),
        ("codec_odd", "encoder", 15, 15),
        ("codec_odd", "decoder", Fraction(1, 15), 1),
        ("uneven", "encoder", 6, 60),
        ("uneven", "decoder", Fraction(1, 20), 1),
        ("codec", "wavebeat", 256, 256),
    ],
)
def test_fields_of_converted_models(bundles, name, part, jump, period):
    field = receptive_field(bundles[name] / f"{part}.onnx")
    assert field.jump == jump
    assert field.period == period


@pytest.mark.parametrize("name", ["codec", "codec_odd", "uneven"])
def test_a_changed_frame_changes_only_what_sees_it(codec, whole, name):
    model, field = whole(name), codec(name).decoder.field
    codes = np.random.default_rng(0).integers(0, model.codebook_size, (1, model.n_codebooks, 64))
    changed = codes.copy()
    changed[..., 32] = (changed[..., 32] + 5) % model.codebook_size
    differs = np.flatnonzero(model.decode(codes)[0, 0] != model.decode(changed)[0, 0])
    sees = [t for t in range(64 * model.hop) if field.window(t)[0] <= 32 <= field.window(t)[1]]
    assert set(differs) <= set(sees)
    assert differs[0] - sees[0] < 4 * model.hop
    assert sees[-1] - differs[-1] < 4 * model.hop


@pytest.mark.parametrize("name", ["codec", "codec_odd", "uneven"])
def test_a_changed_sample_changes_only_codes_that_see_it(codec, whole, name):
    model, field = whole(name), codec(name).encoder.field
    length = 40 * model.hop
    audio = np.random.default_rng(0).standard_normal((1, 1, length)).astype(np.float32)
    changed = audio.copy()
    changed[..., length // 2] += 100
    differs = np.flatnonzero((model.encode(audio) != model.encode(changed)).any(axis=(0, 1)))
    assert differs.size > 0
    for t in differs:
        first, last = field.window(t)
        assert first <= length // 2 <= last


def refused(build):
    built = Toy()
    with pytest.raises(NotLocalError) as error:
        field_of(built.finish(build(built)))
    return str(error.value)


def test_graphs_that_cannot_be_cut_are_told():
    assert "over time" in refused(lambda b: b.op("ReduceMean", "x", axes=[2]))
    assert "over time" in refused(lambda b: b.op("Softmax", "x", axis=-1))
    assert "not known" in refused(lambda b: b.op("CumSum", "x", b.constant(2)))
    assert "combined" in refused(lambda b: b.op("Add", "x", b.layer("x", Conv(1, 2))))
    assert "cut off" in refused(lambda b: b.layer("x", Crop(3, 0)))
    assert "cut off" in refused(lambda b: b.layer("x", Crop(0, 3)))
    assert "along time" in refused(lambda b: b.op("Concat", "x", "x", axis=2))
    assert "last axis" in refused(lambda b: b.op("Transpose", "x", perm=[0, 2, 1]))
    assert "depends on the length" in refused(
        lambda b: b.op(
            "Mul", "x", b.op("Cast", b.op("Shape", "x", start=2, end=3), to=onnx.TensorProto.FLOAT)
        )
    )
    reflecting = lambda b: b.op("Pad", "x", b.constant([0, 0, 1, 0, 0, 1]), mode="reflect")  # noqa: E731
    assert "not known" in refused(reflecting)
