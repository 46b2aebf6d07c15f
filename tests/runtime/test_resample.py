"""Resampling: what the original recorded, the definition in float64, and signals whose result is known."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.common import LINE
from vampconv.errors import BadInputError, LimitError
from vampconv.runtime import resample as module
from vampconv.runtime.resample import resample, resampled_length

RATES = [
    (44100, 22050),
    (22050, 44100),
    (48000, 44100),
    (44100, 48000),
    (96000, 22050),
    (8000, 44100),
    (192000, 44100),
    (44100, 8000),
]


def noise(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def decibels(found, wanted):
    """Signal to noise ratio."""
    found, wanted = found.astype(np.float64), wanted.astype(np.float64)
    assert found.shape == wanted.shape
    assert (wanted != 0).any()
    return 10 * np.log10((wanted**2).sum() / max(((found - wanted) ** 2).sum(), 1e-300))


def by_definition(audio, old, new):
    """Every output as the sum over all inputs within 24 zero crossings, in float64."""
    cut = 0.945 * min(old, new)
    reach = math.ceil(24 * old / cut) + 1
    edges = np.pad(audio.astype(np.float64), (reach, reach), mode="edge")
    at = np.arange(-reach, len(audio) + reach)
    outputs = []
    for j in range(len(audio) * new // old):
        t = (at / old - j / new) * cut
        weights = np.where(np.abs(t) < 24, np.sinc(t) * np.cos(np.pi * t / 48) ** 2, 0)
        outputs.append(weights @ edges / weights.sum())
    return np.array(outputs)


@pytest.mark.parametrize("name", ["preprocess_mono22k_quiet", "preprocess_stereo48k"])
def test_golden(workshop, name):
    recorded = workshop.recorded(name)
    mono = resample(recorded["audio"], int(recorded["sample_rate"]), 44100).mean(axis=1)[0]
    wanted = recorded["preprocessed"][0, 0]
    assert not wanted[len(mono) :].any()
    wanted = wanted[: len(mono)].astype(np.float64)
    gain = (wanted @ mono) / (mono.astype(np.float64) @ mono)  # the recording has another loudness
    assert decibels(gain * mono, wanted) >= 130  # measured: 139 and 141


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize("length", [1, 2, 3, 160, 441, 769])
def test_definition(old, new, length):
    audio = noise(length) + np.float32(0.3)
    found = resample(audio, old, new)
    assert found.dtype == np.float32
    assert found.shape == (length * new // old,)
    if found.size:
        assert decibels(found, by_definition(audio, old, new)) >= 95  # positions are rounded to float32


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 200), st.integers(1, 9))
@settings(max_examples=60, deadline=None)
def test_any_rates(old, new, length, common):
    audio = noise(length, seed=old) + np.float32(0.3)
    found = resample(audio, old * common, new * common)
    assert np.array_equal(found, resample(audio, old, new))
    assert len(found) == length * new // old
    if found.size:
        assert decibels(found, by_definition(audio, old, new) if old != new else audio) >= 95


@pytest.mark.parametrize("rate", [1, 8000, 44100, np.int64(96000)])
def test_equal_rates_are_the_identity(rate):
    audio = noise(2, 3, 77)
    assert resample(audio, rate, int(rate)) is audio


@pytest.mark.parametrize(("old", "new"), RATES)
def test_tones(old, new):
    seconds = np.arange(old // 4) / old
    found = resample(np.sin(2000 * np.pi * seconds).astype(np.float32), old, new)
    wanted = np.sin(2000 * np.pi * np.arange(len(found)) / new)
    inner = slice(len(found) // 4, -len(found) // 4)
    assert decibels(found[inner], wanted[inner]) >= 95
    if new < old:
        beyond = resample(np.sin(1.05 * np.pi * new * seconds).astype(np.float32), old, new)
        assert np.abs(beyond[inner]).max() <= 1e-3  # measured: at most 5.9e-4


@pytest.mark.parametrize(("old", "new"), RATES)
def test_silence_and_direct_current(old, new):
    assert np.abs(resample(np.ones(999, np.float32), old, new) - 1).max() <= 2e-6
    assert not resample(np.zeros(999, np.float32), old, new).any()


def test_rows_are_independent():
    audio = noise(2, 3, 777)
    found = resample(audio, 48000, 44100)
    for row in range(2):
        for channel in range(3):
            assert np.array_equal(found[row, channel], resample(audio[row, channel], 48000, 44100))


def test_views_are_taken_and_left_alone():
    audio = np.asfortranarray(noise(2, 999))[:, ::-1]
    before = audio.copy()
    assert np.array_equal(resample(audio, 3, 2), resample(before, 3, 2))
    assert np.array_equal(audio, before)


@pytest.mark.parametrize(("old", "new"), [(44100, 22050), (48000, 44100), (8000, 44100), (7, 100)])
@pytest.mark.parametrize("block", [1, 500, 4001])
def test_blocks_are_equal_to_the_whole(monkeypatch, old, new, block):
    audio = noise(2, 6007)
    whole = resample(audio, old, new)
    monkeypatch.setattr(module, "BLOCK", block)
    assert np.array_equal(resample(audio, old, new), whole)


def test_memory_of_ten_minutes():
    audio = np.zeros((1, 600 * 44100), np.float32)
    tracemalloc.start()
    try:
        found = resample(audio, 44100, 22050)
        assert tracemalloc.get_traced_memory()[1] - found.nbytes <= 40e6
    finally:
        tracemalloc.stop()
    assert found.shape == (1, 600 * 22050)


@pytest.mark.parametrize(
    ("samples", "old", "new", "length"),
    [
        (1, 44100, 22050, 0),
        (3, 2, 1, 1),
        (44099, 44100, 48000, 47998),
        ((1 << 24) + 1, 22050, 22050, (1 << 24) + 1),
        ((1 << 23) + 1, 22050, 44100, (1 << 24) + 2),
        (18_300_003, 48000, 44100, 16_813_128),
        (3_043_637, 8000, 44100, 16_778_048),
    ],
)
def test_lengths_are_rounded_as_in_the_original(samples, old, new, length):
    assert resampled_length(samples, old, new) == length


@pytest.mark.parametrize("rate", [0, -44100, 44100.0, "44100", True, None, np.float32(8000)])
def test_wrong_rates(rate):
    for rates in ((rate, 22050), (22050, rate)):
        with pytest.raises(BadInputError, match=r"sample rate is .*positive integer") as error:
            resample(noise(9), *rates)
        assert LINE.fullmatch(error.value.line() + "\n")


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.array([[0, 1], [np.nan, 0]], np.float32), r"nan at \[1, 0\]"),
        (np.array([0, -np.inf], np.float32), r"-inf at \[1\]"),
        (np.zeros(9), "float64"),
        (np.zeros((2, 0), np.float32), r"float32 \[2, 0\]"),
        (np.float32(1), "float32"),
        (np.zeros((), np.float32), r"float32 \[\]"),
        ([0.0, 1.0], "list"),
    ],
)
def test_wrong_audio(audio, message):
    for rates in ((44100, 22050), (44100, 44100)):
        with pytest.raises(BadInputError, match=message) as error:
            resample(audio, *rates)
        assert LINE.fullmatch(error.value.line() + "\n")


@pytest.mark.parametrize(("old", "new"), [(1, 100_001), (200_003, 44100), (1, 90_000)])
def test_limits(old, new):
    with pytest.raises(LimitError, match=f"from {old} to {new} Hz") as error:
        resample(np.zeros(20_000, np.float32), old, new)
    assert LINE.fullmatch(error.value.line() + "\n")
