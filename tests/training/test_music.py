"""The music that is trained on and listened to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from training.data import HELD_OUT_SEEDS, TRAINING_SEEDS, crops, songs
from training.instruments import SAMPLE_RATE, Timbre, hat, kick, note, snare
from training.music import LEVEL_DB, render

PLAIN = Timbre(harmonics=1, tilt=1.0, attack=0.01, decay=1.0, damping=0.0)


@pytest.mark.parametrize("seed", [0, 1, 17, HELD_OUT_SEEDS[3]])
def test_a_piece_has_its_length_and_level(seed):
    piece = render(seed, 3.0)
    assert piece.shape == (3 * SAMPLE_RATE,)
    assert piece.dtype == np.float32
    assert np.isfinite(piece).all()
    assert np.abs(piece).max() <= 1
    assert 20 * np.log10(np.sqrt(np.mean(piece.astype(np.float64) ** 2))) == pytest.approx(LEVEL_DB, abs=0.5)


def test_a_seed_is_a_piece():
    np.testing.assert_array_equal(render(5, 2.0), render(5, 2.0))
    assert np.abs(render(5, 2.0) - render(6, 2.0)).max() > 0.01


def test_held_out_pieces_are_not_trained_on():
    assert not set(TRAINING_SEEDS) & set(HELD_OUT_SEEDS)


@pytest.mark.parametrize("pitch", [33, 57, 69, 81])
def test_a_note_has_its_pitch(pitch):
    sound = note(PLAIN, pitch, 1.0)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    loudest = spectrum.argmax() * SAMPLE_RATE / len(sound)
    assert loudest == pytest.approx(440 * 2 ** ((pitch - 69) / 12), abs=SAMPLE_RATE / len(sound))


def test_harmonics_stay_below_half_the_sample_rate():
    bright = Timbre(harmonics=40, tilt=0.0, attack=0.001, decay=10.0, damping=0.0)
    spectrum = np.abs(np.fft.rfft(note(bright, 76, 1.0))) ** 2
    high = int(7800 / (SAMPLE_RATE / 2) * len(spectrum))
    assert spectrum[high:].sum() < 1e-3 * spectrum.sum()


def test_drums_die_away():
    random = np.random.default_rng(0)
    for sound in (kick(50.0), snare(180.0, random), hat(0.03, random)):
        tail = len(sound) // 5
        assert np.square(sound[-tail:]).sum() < 0.05 * np.square(sound[:tail]).sum()


def test_crops_are_stretches_of_the_songs():
    audio = songs(range(2), 1.0)
    cut = crops(audio, 5, 4000, torch.Generator().manual_seed(0))
    assert cut.shape == (5, 1, 4000)
    for crop in cut[:, 0]:
        windows = audio[:, 0].unfold(-1, 4000, 1)
        cosine = torch.nn.functional.cosine_similarity(windows, crop, dim=-1)
        assert cosine.max() > 0.99999
