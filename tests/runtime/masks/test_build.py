"""The mask of a vamp: as recorded, and what each option does."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import GeneratorNoise, options, recording
from vampconv.errors import UsageError
from vampconv.runtime.sampling import RecordedNoise

NAMES = {"bernoulli": "intensity", "roll": "roll", "drop": "dropout"}
OFF = {"periodic_prompt": 0, "upper_codebook_mask": 14}
CODES = np.zeros((2, 14, 40), np.int64)
NOISE = GeneratorNoise(5)


def build(vampnet, codes=CODES, noise=NOISE, **given):
    return vampnet.build_mask(codes, noise=noise, **OFF | given)


@pytest.mark.parametrize("number", range(4))
def test_recorded_masks_bit_for_bit(vampnet, number):
    archive = recording("build_mask")
    prefix = f"{number}/"
    masks = {new: archive[prefix + old] for old, new in NAMES.items() if prefix + old in archive}
    wanted = archive[f"{prefix}mask"]
    codes = np.zeros(wanted.shape, np.int64)
    found = vampnet.build_mask(codes, noise=RecordedNoise(masks=masks), **options(archive, prefix))
    np.testing.assert_array_equal(found, wanted, strict=True)


def test_all_is_new_when_everything_is_off(vampnet):
    mask = build(vampnet)
    assert mask.dtype == np.int64
    assert mask.all()


@pytest.mark.parametrize(("intensity", "low", "high"), [(0, 0, 0), (0.3, 0.25, 0.35), (1, 1, 1)])
def test_intensity(vampnet, intensity, low, high):
    mask = build(vampnet, rand_mask_intensity=intensity)
    assert low <= mask.mean() <= high
    assert (mask[0] != mask[1]).any() == (0 < intensity < 1)


@pytest.mark.parametrize(("prefix", "suffix"), [(0, 0), (3, 0), (0, 4), (3, 4), (30, 30), (99, 0), (0, 99)])
def test_prefix_and_suffix(vampnet, prefix, suffix):
    second = 768 / 44100
    mask = build(vampnet, prefix_s=(prefix - 0.5) * second if prefix else 0, suffix_s=suffix * second)
    steps = np.arange(40)
    wanted = (steps >= prefix) & (steps < 40 - suffix)
    assert (mask == wanted).all()


@pytest.mark.parametrize(
    ("period", "width", "reach"), [(7, 1, 0), (7, 2, 1), (7, 3, 1), (1, 1, 0), (50, 5, 2), (7, 0, 0)]
)
@pytest.mark.parametrize("roll", [0, 3])
def test_periodic(vampnet, period, width, reach, roll):
    roll %= period
    masks = {"intensity": np.ones(CODES.shape), "roll": np.array([roll]), "dropout": np.zeros(0)}
    mask = build(
        vampnet, noise=RecordedNoise(masks=masks), periodic_prompt=period, periodic_prompt_width=width
    )
    kept = {t for at in range(0, 40, period) for t in range(at - reach, at + reach + 1) if 0 <= t < 40}
    rolled = {(t + roll) % 40 for t in kept}
    assert (mask == [t not in rolled for t in range(40)]).all()


def test_dropout_makes_steps_new_in_all_codebooks_but_those_kept(vampnet):
    mask = build(vampnet, rand_mask_intensity=0, dropout=0.5, ncc=2)
    assert not mask[:, :2].any()
    steps = mask[:, 2:].all(axis=(0, 1))
    np.testing.assert_array_equal(mask[:, 2:], np.broadcast_to(steps, mask[:, 2:].shape))
    assert 8 <= steps.sum() <= 20  # 20 draws of 40 steps, with replacement


def test_codebooks_from_the_upper_one_on_are_new_whatever_else(vampnet):
    mask = build(vampnet, rand_mask_intensity=0, ncc=9, upper_codebook_mask=5)
    assert not mask[:, :5].any()
    assert mask[:, 5:].all()


def test_defaults_are_the_originals(vampnet):
    mask = vampnet.build_mask(CODES, noise=NOISE)
    kept = ~mask[0, 0].astype(bool)
    assert mask[:, 3:].all()
    assert (np.diff(np.flatnonzero(kept)) == 7).all()
    assert (mask[:, :3] == mask[0, 0]).all()


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 4, 1), (1, 14, 6)])
def test_short_codes(vampnet, shape):
    mask = vampnet.build_mask(np.zeros(shape, np.int64), noise=NOISE, dropout=0.9, periodic_prompt_width=9)
    assert mask.shape == shape


@pytest.mark.parametrize(
    "wrong",
    [
        {"rand_mask_intensity": 1.5},
        {"rand_mask_intensity": float("nan")},
        {"dropout": -0.1},
        {"prefix_s": -1},
        {"suffix_s": float("inf")},
        {"periodic_prompt": -1},
        {"periodic_prompt_width": 1.5},
        {"upper_codebook_mask": -2},
        {"onset_mask_width": 2},
    ],
)
def test_what_cannot_be_meant_is_refused(vampnet, wrong):
    with pytest.raises(UsageError):
        build(vampnet, **wrong)
