"""Beats and downbeats, as the original picks them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.common import LINE
from vampconv.errors import BadInputError
from vampconv.runtime import WaveBeat, pick_beats
from vampconv.runtime.resample import resample


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


@pytest.mark.parametrize("length", [1, 255, 30_011, 88_200, 88_201, 300_007])
def test_whole_up_to_a_length_and_chunks_beyond(bundles, workshop, relative, monkeypatch, length):
    audio = np.random.default_rng(length).standard_normal((1, 1, length)).astype(np.float32)
    whole = workshop.session(bundles["codec"], "wavebeat").run(None, {"audio": audio})[0]
    for workers in (1, 2):
        tracker = WaveBeat.of_bundle(bundles["codec"], workers=workers, seconds=4)
        pieces = []
        run = tracker.model._run
        monkeypatch.setattr(
            tracker.model, "_run", lambda x, run=run, pieces=pieces: pieces.append(x) or run(x)
        )
        found = tracker.activations(audio)
        assert len(pieces) == -(-length // 88_200)
        assert max(x.shape[-1] for x in pieces) <= 88_200 + tracker.model.field.context + 512
        assert np.array_equal(found, whole) if len(pieces) == 1 else relative(found, whole) <= 1e-6


def test_batches_are_rows(tracker, relative):
    audio = np.random.default_rng(0).standard_normal((3, 1, 20_011)).astype(np.float32)
    found = tracker.activations(audio)
    for row in range(3):
        assert relative(found[row : row + 1], tracker.activations(audio[row : row + 1])) <= 1e-6


def music(rate, seconds=8.0):
    """Tones that swell and fade, below 3 kHz, float32 [1, 1, samples]."""
    at = np.arange(int(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * (f * at + 0.1 * f)) * np.sin(s * at) for f, s in TONES]
    return np.sum(tones, axis=0).astype(np.float32)[None, None] * np.float32(0.2)


TONES = [(110, 1.0), (440, 3.0), (987, 4.5), (1800, 5.9), (2900, 7.1)]


def starts(times, before=7.0):
    """Those that the end of the audio, which is cut off a little elsewhere, has no part in."""
    return times[times < before]


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
def test_beats_at_any_rate(tracker, rate):
    wanted = tracker.find(music(22050))
    assert len(wanted[0]) > 3
    for found, times in zip(tracker.find(music(rate), rate), wanted, strict=True):
        assert np.array_equal(starts(found), starts(times))


def test_channels_are_averaged_after_resampling(tracker):
    left, right = music(44100), music(44100)[..., ::-1]
    audio = np.concatenate([left, right, left], axis=1)
    mixed = resample(audio, 44100, 22050).mean(axis=1, keepdims=True)
    for found, wanted in zip(tracker.find(audio, 44100), tracker.find(mixed), strict=True):
        assert np.array_equal(found, wanted)
    for found, wanted in zip(tracker.find(left.repeat(2, 1), 44100), tracker.find(left, 44100), strict=True):
        assert np.array_equal(found, wanted)


def test_the_rate_of_the_model_is_the_default(tracker):
    audio = music(22050)
    before = audio.copy()
    for found, wanted in zip(tracker.find(audio, 22050), tracker.find(audio), strict=True):
        assert np.array_equal(found, wanted)
    assert np.array_equal(audio, before)


@pytest.mark.parametrize(
    ("audio", "rate", "message"),
    [
        (np.zeros((2, 1, 99), np.float32), 22050, "2 recordings, and one is taken"),
        (np.zeros((1, 2, 1), np.float32), 44100, "no sample at 22050 Hz"),
        (np.zeros((1, 0, 99), np.float32), 44100, r"float32 \[1, 0, 99\]"),
        (np.zeros((2, 99), np.float32), 44100, r"float32 \[2, 99\]"),
        (np.array([[[0, 0], [0, np.nan]]], np.float32), 44100, r"nan at \[0, 1, 1\]"),
        (np.zeros((1, 1, 99), np.float32), 0, "sample rate is 0"),
        (np.zeros((1, 1, 99), np.float32), 44100.0, r"sample rate is 44100\.0"),
    ],
)
def test_what_cannot_be_taken(tracker, audio, rate, message):
    with pytest.raises(BadInputError, match=message) as error:
        tracker.find(audio, rate)
    assert LINE.fullmatch(error.value.line() + "\n")
