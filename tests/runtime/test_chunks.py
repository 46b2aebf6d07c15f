"""Chunks that join to the whole: of exact sums first, then of codecs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.runtime.test_receptive_field import DOWN, LAYERS, UP, run
from tests.runtime.toy import Crop, Multiple, saved, toy
from vampconv.runtime.chunked import ChunkedModel
from vampconv.runtime.chunks import parts_of


def whole_and_chunked(model, directory, length, longest, rows=1):
    chunked = ChunkedModel(saved(model, directory), budget=1, workers=2, longest=longest)
    x = np.random.default_rng(length).integers(0, 4, (rows, 1, length)).astype(np.float32)
    return run(model, x), chunked(x), chunked


@pytest.mark.parametrize("layers", DOWN + UP, ids=str)
@pytest.mark.parametrize("longest", [1, 7, 40])
def test_exact_sums_are_equal(tmp_path, layers, longest):
    for length in (60, 61, 71, 83, 96, 101, 127):
        wanted, found, chunked = whole_and_chunked(toy(*layers), tmp_path, length, longest, rows=2)
        assert chunked.field is not None
        assert np.array_equal(found, wanted)


@given(LAYERS, st.integers(60, 140), st.integers(1, 50), st.sampled_from((None, 4, 6, 9)))
@settings(max_examples=80, deadline=None)
def test_any_layers_are_equal(tmp_path_factory, layers, length, longest, multiple):
    model = toy(*([] if multiple is None else [Multiple(multiple)]), *layers)
    try:
        wanted = run(model, np.zeros((1, 1, length), np.float32))
    except Exception:  # noqa: BLE001 (of what the layers leave nothing)
        assume(False)
    assume(wanted.size > 0)
    wanted, found, _ = whole_and_chunked(model, tmp_path_factory.mktemp("toy"), length, longest)
    assert np.array_equal(found, wanted)


def test_what_cannot_be_cut_runs_whole(tmp_path):
    wanted, found, chunked = whole_and_chunked(toy(Crop(3, 0)), tmp_path, 50, 10)
    assert "cut off" in chunked.whole_because
    assert np.array_equal(found, wanted)


@pytest.mark.parametrize(
    ("length", "rows", "workers", "most", "parts"),
    [
        (100, 1, 1, 1000, 1),
        (100, 1, 2, 1000, 2),
        (100, 2, 2, 1000, 1),
        (100, 3, 2, 1000, 2),
        (100, 1, 8, 1000, 5),
        (15, 1, 2, 1000, 1),
        (900, 1, 2, 300, 4),
        (900, 1, 1, 300, 3),
        (100, 1, 2, 7, 15),
    ],
)
def test_how_many_chunks(length, rows, workers, most, parts):
    assert parts_of(length, rows, workers, most, least=20) == parts
