"""Draws from a seed: those of the loop as ONNX, and masks that do not depend on what comes later."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.noise import Noise
from vampconv.runtime import VampNet
from vampconv.runtime.sampling import SeededNoise

CODES = np.random.default_rng(0).integers(0, 64, (2, 14, 21))


@pytest.fixture(scope="module")
def whole(playable):
    return VampNet(playable, threads=1)


@pytest.mark.parametrize("seed", [0, 7, 2**61])
@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_the_loop_as_onnx_makes_the_same_codes(workshop, playable, whole, part, seed):
    graph = workshop.session(playable, {"coarse": "vamp", "c2f": "vamp_c2f"}[part])
    codes = CODES[:, : 4 if part == "coarse" else 14]
    mask = (np.random.default_rng(1).random(codes.shape) < 0.7).astype(np.int64)
    mask[:, : 0 if part == "coarse" else 4] = 0
    options = {"temperature": 0.9, "mask_temperature": 4.0, "top_p": 0.95, "sample_cutoff": 0.7}
    feeds = {name: np.array(value, np.float32) for name, value in options.items()}
    feeds |= {"codes": codes, "mask": mask, "steps": np.array(5), "seed": np.array(seed)}
    found = whole.generate(part, codes, mask, noise=seed, sampling_steps=5, **options)
    np.testing.assert_array_equal(found, np.asarray(graph.run(None, feeds)[0]))


def test_chunks_of_a_vamp_have_seeds_for_the_graph(whole):
    """A vamp of one chunk is its two runs with these seeds."""
    noise, mask = SeededNoise(9), np.ones(CODES.shape, bool)
    coarse = whole.generate("coarse", CODES[:, :4], noise=noise.generation("coarse", 0, 0).seed)
    vamped = whole.vamp(CODES, mask, noise=9).codes
    np.testing.assert_array_equal(vamped[:, :4], coarse)
    seeds = {noise.generation(p, f, c).seed for p in ("coarse", "c2f") for f in range(3) for c in range(4)}
    assert len(seeds) == 24


def test_one_run_of_a_seed_is_that_of_its_noise(whole):
    first, second = (whole.generate("coarse", CODES[:, :4], noise=n, sampling_steps=2) for n in (5, Noise(5)))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_masks(probability):
    mask = SeededNoise(1).bernoulli("intensity", probability, (2, 14, 300))
    assert mask.shape == (2, 14, 300)
    assert mask.dtype == np.bool_
    spread = 4 * np.sqrt(probability * (1 - probability) / mask.size)
    assert abs(mask.mean() - probability) <= spread
    if 0 < probability < 1:
        assert (mask[0] != mask[1]).any()
        other = SeededNoise(2).bernoulli("intensity", probability, mask.shape)
        assert (other != mask).any()


def test_longer_codes_have_the_mask_of_shorter_ones_as_their_beginning():
    long = SeededNoise(1).bernoulli("intensity", 0.5, (2, 14, 300))
    short = SeededNoise(1).bernoulli("intensity", 0.5, (1, 14, 70))
    np.testing.assert_array_equal(long[:1, :, :70], short)


def test_purposes_are_independent():
    noise = SeededNoise(1)
    drawn = [noise.bernoulli(p, 0.5, (1, 1, 2000)) for p in ("intensity", "upbeats", "downbeats")]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert 0.45 < (drawn[first] == drawn[second]).mean() < 0.55
    assert set(noise.integers("roll", 7, 500).tolist()) == set(range(7))
    assert noise.integers("dropout", 40, 0).shape == (0,)
