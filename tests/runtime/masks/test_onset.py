"""Masks of onsets."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import GeneratorNoise, recording
from vampconv.runtime.audio.onsets import onset_steps
from vampconv.runtime.masks.onset import onset_mask


@pytest.mark.parametrize(
    ("width", "wanted"), [(1, {2, 3, 9}), (2, {1, 2, 3, 4, 8, 9}), (9, set(range(10))), (0, set())]
)
def test_around_onsets(width, wanted):
    mask = onset_mask(10, np.array([3, 10]), width)
    assert set(np.flatnonzero(~mask).tolist()) == wanted


def test_a_start_before_the_first_step_does_not_wrap():
    assert onset_mask(10, np.array([0, 1]), 3).tolist() == [False] * 4 + [True] * 6


def test_of_a_bundle(vampnet):
    audio = recording("preprocess_mono44k")["preprocessed"]
    codes = np.zeros((1, 14, 52), np.int64)
    given = {"noise": GeneratorNoise(0), "periodic_prompt": 0, "upper_codebook_mask": 14}
    mask = vampnet.build_mask(codes, audio=audio, onset_mask_width=1, **given)
    wanted = onset_mask(52, onset_steps(audio[0, 0], 44100, 768), 1)
    np.testing.assert_array_equal(mask, np.broadcast_to(wanted, mask.shape))
    assert 0 < wanted.sum() < 52
