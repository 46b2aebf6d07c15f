"""How far two pieces of audio lie apart."""

from __future__ import annotations

import math

import numpy as np
import pytest

from vampconv.verify.audio_files import snr_db


@pytest.fixture
def audio() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (2, 3000)).astype(np.float32)


def test_signal_to_noise_ratio(audio):
    assert snr_db(audio, audio) == math.inf
    assert snr_db(np.zeros(3), np.zeros(3)) == math.inf
    assert snr_db(audio * np.float32(0.5), audio) == pytest.approx(20 * math.log10(2))
    assert snr_db(np.array([3.0, 4.5]), np.array([3.0, 4.0])) == pytest.approx(20)
    assert snr_db(np.ones(3), np.zeros(3)) == -math.inf


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_no_match(audio, value):
    other = audio.copy()
    other[0, 0] = value
    assert snr_db(other, audio) == snr_db(audio, other) == snr_db(other, other) == -math.inf


@pytest.mark.parametrize(("found", "truth"), [((4, 1), (4, 4)), ((3,), (1, 3)), ((0,), (0,)), ((5,), (4,))])
def test_only_equal_shapes_with_content_are_compared(found, truth):
    with pytest.raises(ValueError, match="cannot be compared"):
        snr_db(np.zeros(found), np.zeros(truth))
