"""Beats and downbeats, as the original picks them."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.runtime import WaveBeat, pick_beats


@pytest.fixture
def tracker(bundles):
    return WaveBeat.of_bundle(bundles["codec"])


def test_golden_beats(workshop):
    recorded = workshop.recorded("beats")
    before = recorded["activations"].copy()
    found = pick_beats(recorded["activations"], float(recorded["target_sample_rate"]))
    for times, name in zip(found, ("beats", "downbeats"), strict=True):
        assert times.dtype == np.float32
        assert np.array_equal(times, recorded[name])
    assert np.array_equal(recorded["activations"], before)


def test_golden_activations(tracker, workshop, relative):
    recorded = workshop.recorded("wavebeat")
    assert relative(tracker.activations(recorded["audio"]), recorded["activations"]) <= 1e-5
    assert tracker.frame_rate == 22050 / 256


@pytest.mark.parametrize("level", [0.0, 1e-30, 0.5, 1.0])
@pytest.mark.parametrize("frames", [0, 1, 2, 500])
def test_constant_activations_have_no_beats(level, frames):
    for times in pick_beats(np.full((2, frames), level, np.float32), 86.13):
        assert times.shape == (0,)
        assert times.dtype == np.float32


def test_peaks_apart_and_high_enough():
    row = np.zeros(400, np.float32)
    row[[50, 60, 120, 200, 300]] = [0.8, 0.4, 0.39, 0.6, 0.5]
    beats, downbeats = pick_beats(np.stack([row, row]), 100.0)
    assert beats.tolist() == pytest.approx([0.5, 2.0, 3.0])
    assert downbeats.tolist() == pytest.approx([0.5, 2.0, 3.0])
    row[230] = 0.7
    beats, downbeats = pick_beats(np.stack([row, row]), 100.0)
    assert beats.tolist() == pytest.approx([0.5, 2.0, 2.3, 3.0])
    assert downbeats.tolist() == pytest.approx([0.5, 2.3, 3.0])


def test_a_frame_rate_below_the_distances():
    beats, _ = pick_beats(np.array([[0, 1, 0, 1, 0]] * 2, np.float32), 1.0)
    assert beats.tolist() == [1.0, 3.0]


def test_any_loudness_and_silence(tracker):
    random = np.random.default_rng(0)
    audio = random.standard_normal((1, 1, 60000)).astype(np.float32)
    loud = tracker.find(audio * np.float32(8))
    for found, wanted in zip(tracker.find(audio * np.float32(0.25)), loud, strict=True):
        assert np.array_equal(found, wanted)
    for times in tracker.find(np.zeros((1, 1, 30000), np.float32)):
        assert times.dtype == np.float32


def test_chunks(tracker, relative):
    audio = np.random.default_rng(0).standard_normal((1, 1, 700_001)).astype(np.float32)
    whole = tracker.activations(audio)
    tracker.model.longest = 150_000
    assert tracker.model.field is not None
    assert relative(tracker.activations(audio), whole) <= 1e-6
