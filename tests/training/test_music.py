"""The music that is trained on and listened to."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from evaluate import CLIPS
from train import SONGS
from training.codec import CODEC
from training.data import HELD_OUT_SEEDS, TRAINING_SEEDS, crops, songs
from training.instruments import SAMPLE_RATE, Timbre, hat, kick, note, snare
from training.music import GRID, LOUDNESS, STEPS, Song, render
from vampconv.runtime.audio.loudness import loudness

PLAIN = Timbre(harmonics=1, tilt=1.0, attack=0.01, decay=1.0, damping=0.0)


@pytest.mark.parametrize("seed", [0, 1, 17, HELD_OUT_SEEDS[3]])
def test_a_piece_has_its_length_and_level(seed):
    piece = render(seed, 3.0)
    assert piece.shape == (3 * SAMPLE_RATE,)
    assert piece.dtype == np.float32
    assert np.isfinite(piece).all()
    assert np.abs(piece).max() <= 1
    assert loudness(piece[None], SAMPLE_RATE) == pytest.approx(LOUDNESS, abs=0.1)


def test_a_seed_is_a_piece():
    np.testing.assert_array_equal(render(5, 2.0), render(5, 2.0))
    assert np.abs(render(5, 2.0) - render(6, 2.0)).max() > 0.01


def test_held_out_pieces_are_not_trained_on():
    assert not set(TRAINING_SEEDS) & set(HELD_OUT_SEEDS)
    trained = songs(TRAINING_SEEDS[:SONGS], 4.0)
    for piece in songs(HELD_OUT_SEEDS[:CLIPS], 4.0):
        apart = (trained - piece).square().sum((1, 2)) / piece.square().sum()
        assert apart.min() > 0.2


@pytest.mark.parametrize("frequency", [62.5, 220.0, 468.75, 880.0])
def test_a_note_has_its_pitch(frequency):
    sound = note(PLAIN, frequency, 1.0)
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    loudest = spectrum.argmax() * SAMPLE_RATE / len(sound)
    assert loudest == pytest.approx(frequency, abs=SAMPLE_RATE / len(sound))


@pytest.mark.parametrize("degree", range(15))
def test_held_notes_repeat_on_the_grid(degree):
    """Within four frames, so that a codec of that hop sees them again."""
    periods = Song(np.random.default_rng(0)).frequency(degree) * GRID / SAMPLE_RATE * np.arange(1, 5)
    assert np.abs(periods - np.round(periods)).min() < 1e-9


@pytest.mark.parametrize("seed", range(6))
def test_everything_begins_on_the_grid_and_comes_round(seed):
    song = Song(np.random.default_rng(seed))
    events = list(song.events(8))
    assert all(song.start(event.step) % GRID == 0 for event in events)
    heard = {(event.step, event.gain, event.sound.tobytes()) for event in events}
    loop = 4 * STEPS
    assert {(step - loop, *rest) for step, *rest in heard if step >= loop} == {
        entry for entry in heard if entry[0] < loop
    }


def test_harmonics_stay_below_half_the_sample_rate():
    bright = Timbre(harmonics=40, tilt=0.0, attack=0.001, decay=10.0, damping=0.0)
    spectrum = np.abs(np.fft.rfft(note(bright, 660.0, 1.0))) ** 2
    high = int(3900 / (SAMPLE_RATE / 2) * len(spectrum))
    assert spectrum[high:].sum() < 1e-3 * spectrum.sum()


def test_drums_die_away():
    random = np.random.default_rng(0)
    for sound in (kick(50.0), snare(180.0, random), hat(0.03, random)):
        tail = len(sound) // 5
        assert np.square(sound[-tail:]).sum() < 0.05 * np.square(sound[:tail]).sum()


def test_the_grid_is_the_hop_of_the_codec():
    assert CODEC.hop == GRID
    assert CODEC.sample_rate == SAMPLE_RATE


def test_crops_are_stretches_of_the_songs_on_the_grid():
    audio = songs(range(2), 1.0)
    cut = crops(audio, 5, 2048, torch.Generator().manual_seed(0))
    assert cut.shape == (5, 1, 2048)
    for crop in cut[:, 0]:
        windows = audio[:, 0].unfold(-1, 2048, GRID)
        cosine = torch.nn.functional.cosine_similarity(windows, crop, dim=-1)
        assert cosine.max() > 0.99999
