"""Masks of beats."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import GeneratorNoise
from vampconv.errors import UsageError
from vampconv.runtime.masks.beat import BeatOptions, beat_mask

NOISE = GeneratorNoise(1)
STEP = 768 / 44100
BEATS = np.array([2, 10, 20, 30, 38], np.float32) * np.float32(STEP) - np.float32(1e-4)
DOWNBEATS = BEATS[[0, 2]]
FOLLOWING = {2, 3, 10, 11, 20, 21, 30, 31, 38, 39}
"""Two steps from each beat on, the default."""


def to_steps(seconds):
    return np.ceil(np.asarray(seconds) * 44100 / 768).astype(np.int64)


def kept(time=40, beats=BEATS, downbeats=DOWNBEATS, noise=NOISE, **options):
    """Steps at which the mask is false."""
    mask = beat_mask(time, (beats, downbeats), to_steps, BeatOptions(**options), noise)
    assert mask.shape == (time,)
    return set(np.flatnonzero(~mask).tolist())


def test_two_steps_from_each_beat_on():
    assert kept() == FOLLOWING


def test_inverted_or_not():
    assert kept(invert=False) == set(range(40)) - FOLLOWING


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"mask_downbeats": False}, {10, 11, 30, 31, 38, 39}),
        ({"mask_upbeats": False}, {2, 3, 20, 21}),
        ({"mask_upbeats": False, "mask_downbeats": False}, set()),
        ({"beat_downsample_factor": 2}, {2, 3, 20, 21, 10, 11, 38, 39}),
        ({"downbeat_downsample_factor": 2}, FOLLOWING - {20, 21}),
        ({"after_beat_s": 0.0}, set()),
        ({"after_beat_s": 0.0, "before_beat_s": STEP}, {1, 9, 19, 29, 37}),
        ({"before_beat_s": 4 * STEP - 1e-9, "mask_upbeats": False}, {0, 1, 2, 3, 16, 17, 18, 19, 20, 21}),
        ({"dropout": 1.0}, set()),
    ],
)
def test_options(options, wanted):
    assert kept(**options) == wanted


def test_beyond_the_ends():
    assert kept(time=39) == FOLLOWING - {39}
    assert kept(time=21) == {2, 3, 10, 11, 20}
    assert kept(time=1) == set()
    assert kept(beats=np.zeros(1, np.float32), downbeats=np.zeros(0, np.float32)) == {0, 1}


def test_dropout_of_steps_at_beats():
    beats = np.arange(0, 4000, 4).astype(np.float32) * np.float32(STEP)
    found = kept(4000, beats, DOWNBEATS[:0], dropout=0.25)
    assert found <= {s for b in to_steps(beats).tolist() for s in (b, b + 1)}
    assert 0.72 < len(found) / 2000 < 0.78


def test_no_beats():
    none = np.zeros(0, np.float32)
    assert kept(beats=none, downbeats=none) == set()


def test_of_a_bundle(vampnet):
    time = np.arange(44100 * 4) / 44100
    audio = (np.sin(2 * np.pi * 880 * time) * (time % 0.5 < 0.05)).astype(np.float32)[None, None]
    codes = np.zeros((2, 14, 230), np.int64)
    mask = vampnet.beat_mask(codes, audio, 44100, noise=NOISE)
    assert mask.shape == codes.shape
    assert mask.dtype == np.int64
    beats, downbeats = vampnet.beat_tracker.find(audio, 44100)
    assert len(beats) + len(downbeats)
    wanted = {s + d for s in vampnet.s2t(np.concatenate((beats, downbeats))).tolist() for d in (0, 1)}
    assert set(np.flatnonzero(mask[1, 7] == 0).tolist()) == {s for s in wanted if s < 230}


@pytest.mark.parametrize(
    "wrong",
    [{"dropout": 2}, {"before_beat_s": -1}, {"after_beat_s": float("nan")}, {"beat_downsample_factor": 0}],
)
def test_what_cannot_be_meant_is_refused(wrong):
    with pytest.raises(UsageError):
        BeatOptions(**wrong)
