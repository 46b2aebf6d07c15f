"""Loudness against the original's, and against the signals of EBU Tech 3341."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import recording
from vampconv.runtime.audio import LoudnessMeter, loudness

RATE = 48000


def sine(decibels, seconds, frequency=1000, channels=2, rate=RATE):
    time = np.arange(int(seconds * rate)) / rate
    wave = 10 ** (decibels / 20) * np.sin(2 * np.pi * frequency * time)
    return np.broadcast_to(wave, (channels, len(wave))).astype(np.float32)


@pytest.mark.parametrize("name", ["mono22k_quiet", "mono44k", "stereo48k"])
def test_recorded_loudness(name):
    archive = recording(f"preprocess_{name}")
    found = loudness(archive["audio"][0], int(archive["sample_rate"]))
    assert found == pytest.approx(archive["loudness"].item(), abs=0.0005)


@pytest.mark.parametrize(
    ("levels", "wanted"),
    [
        ([(-23, 20)], -23),
        ([(-33, 20)], -33),
        ([(-36, 10), (-23, 60), (-36, 10)], -23),
        ([(-72, 10), (-36, 10), (-23, 60), (-36, 10), (-72, 10)], -23),
        ([(-26, 20), (-20, 20.1), (-26, 20)], -23),
    ],
)
@pytest.mark.parametrize("rate", [44100, 48000])
def test_signals_of_the_standard(levels, wanted, rate):
    audio = np.concatenate([sine(level, seconds, rate=rate) for level, seconds in levels], axis=-1)
    assert loudness(audio, rate) == pytest.approx(wanted, abs=0.1)


def test_surround_channels_count_more():
    front, rear = np.zeros((2, 5, 5 * RATE), np.float32)
    front[0] = rear[3] = sine(-20, 5, channels=1)[0]
    assert loudness(rear, RATE) - loudness(front, RATE) == pytest.approx(10 * np.log10(1.41), abs=1e-6)


@pytest.mark.parametrize("samples", [1, 4000, 17639, 17640, 17641, 22049, 22050, 39690, 40000, 44101])
@pytest.mark.parametrize("piece", [1000, 4410, 17640, 50000])
def test_pieces_are_of_no_effect(samples, piece):
    audio = np.random.default_rng(samples).normal(0, 0.1, (2, samples)).astype(np.float32)
    meter = LoudnessMeter(44100, 2)
    for start in range(0, samples, piece):
        meter.add(audio[:, start : start + piece])
    assert meter.loudness() == pytest.approx(loudness(audio, 44100), abs=1e-9)


@pytest.mark.parametrize("samples", [3000, 20000, 22050, 30000, 39690, 44101])
def test_blocks_by_the_definition(samples):
    """Power of each block of 0.4 s, 0.1 s apart, the last filled up; at least 0.5 s; both gates."""
    from scipy.signal import sosfilt

    from vampconv.runtime.audio.loudness import k_weighting

    rate, random = 44100, np.random.default_rng(samples)
    audio = (
        random.normal(0, 1, (2, samples))
        * 10.0 ** (-random.integers(0, 3, samples // 1000 + 1).repeat(1000))[:samples]
    )
    audio = audio.astype(np.float32)
    weighted = sosfilt(
        k_weighting(rate), np.pad(audio.astype(float), ((0, 0), (0, max(0, rate // 2 - samples))))
    )
    blocks, start = [], 0
    while not blocks or start + 17640 - 4410 < weighted.shape[-1]:
        blocks.append(np.square(weighted[:, start : start + 17640]).sum() / 17640)
        start += 4410
    powers = np.array(blocks)
    counting = powers[-0.691 + 10 * np.log10(powers) > -70]
    level = -0.691 + 10 * np.log10(counting.mean())
    counting = counting[-0.691 + 10 * np.log10(counting) > level - 10]
    assert loudness(audio, rate) == pytest.approx(-0.691 + 10 * np.log10(counting.mean()), abs=1e-9)


@pytest.mark.parametrize(
    "audio", [np.zeros((1, 50000), np.float32), sine(-90, 2), np.zeros((2, 1), np.float32)]
)
def test_nothing_is_quieter_than_the_gate(audio):
    assert loudness(audio, RATE) == -70
