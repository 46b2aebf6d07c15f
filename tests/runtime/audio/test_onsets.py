"""Onsets against those that librosa 0.11.0 found in the same audio."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import recording
from vampconv.runtime.audio.mel import mel_bank
from vampconv.runtime.audio.onsets import onset_steps, peaks, traced_back

FOUND = {
    (0, 44100, 768): [23, 39, 66, 90, 95, 108, 160, 220, 259, 295, 332, 338],
    (1, 44100, 768): [4, 50, 83, 126, 143, 148, 155, 224, 234, 246, 307],
    (2, 48000, 768): [14, 57, 127, 133, 160, 169, 202, 240, 242, 276, 287, 328],
    (3, 16000, 512): [5, 52, 67, 67, 71, 71, 132, 152, 159, 159, 165, 165, 186],
    (4, 44100, 2048): [6, 26, 43, 47, 51, 51, 62, 85, 114],
    (5, 16000, 768): [4, 4, 18, 36, 36, 45, 50, 50, 66, 76, 76, 79, 93, 118, 118, 124],
}
"""By seed of the music, sample rate and hop: ``librosa.onset.onset_detect(..., backtrack=True)``."""
OF_THE_RECORDING = [1, 17, 28, 41, 50]
"""The same for the recorded preprocessed audio of 44.1 kHz, hop 768."""


def music(seed, rate, seconds=6):
    """Twelve notes at random times, over a little noise."""
    random, n = np.random.default_rng(seed), np.arange(rate * seconds)
    audio = 1e-4 * random.standard_normal(len(n))
    for _ in range(12):
        at = int(random.integers(0, len(n)))
        k = n[: len(n) - at] / rate
        loud, decay = random.uniform(0.05, 0.5), random.uniform(2, 20)
        audio[at:] += loud * np.exp(-k * decay) * np.sin(2 * np.pi * random.uniform(80, 3000) * k)
    return audio.astype(np.float32)


@pytest.mark.parametrize(("seed", "rate", "hop"), FOUND)
def test_the_onsets_of_librosa(seed, rate, hop):
    assert onset_steps(music(seed, rate), rate, hop).tolist() == FOUND[seed, rate, hop]


def test_the_onsets_of_librosa_in_recorded_audio():
    audio = recording("preprocess_mono44k")["preprocessed"][0, 0]
    assert onset_steps(audio, 44100, 768).tolist() == OF_THE_RECORDING


@pytest.mark.parametrize("audio", [np.zeros(50_000), np.zeros(1), np.ones(1), np.ones(767)])
def test_what_has_no_onsets(audio):
    found = onset_steps(audio.astype(np.float32), 44100, 768)
    assert found.tolist() == []
    assert found.dtype == np.int64


def test_a_click_is_an_onset():
    audio = np.zeros(60 * 768, np.float32)
    audio[40 * 768] = 1
    assert len(onset_steps(audio, 44100, 768)) == 1
    assert abs(onset_steps(audio, 44100, 768)[0] - 40) <= 2


def test_peaks_are_apart_and_above_the_mean():
    strength = np.zeros(40, np.float32)
    strength[[5, 6, 20, 30]] = [0.5, 0.9, 0.05, 1.0]
    assert peaks(strength, 57.4).tolist() == [5, 30]  # 6 is too near, 20 too low
    assert peaks(strength[:0], 57.4).tolist() == []


def test_tracing_back_to_the_last_minimum():
    strength = np.array([5, 2, 3, 4, 1, 1, 6, 7, 3], np.float32)
    assert traced_back(np.array([0, 3, 7]), strength).tolist() == [0, 1, 5]


def test_bands_have_equal_area():
    bank = mel_bank(44100, 2048)
    wide = bank[60:]
    np.testing.assert_allclose(wide.sum(axis=1) * 44100 / 2048, 1, rtol=0.02)
    assert (np.diff(bank.argmax(axis=1)) >= 0).all()
