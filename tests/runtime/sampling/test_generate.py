"""The loop on other models, sizes and threads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.recordings import GeneratorNoise, recording
from vampconv.errors import BadInputError
from vampconv.runtime import VampNet
from vampconv.runtime.controls import Controls
from vampconv.runtime.sampling import Sampling, generate
from vampconv.runtime.sampling.guidance import guided
from vampconv.runtime.transformer import Transformer

NOISE = GeneratorNoise(11)


@pytest.fixture(scope="module")
def model(workshop):
    """A transformer by the name of its checkpoint."""

    def load(name, threads=1):
        bundle = VampNet(workshop.bundle(name, "codec")).bundle
        return Transformer(bundle.path("coarse"), bundle.architecture("coarse"), threads)

    return load


@pytest.fixture(scope="module")
def steered(model):
    archive = recording("coarse_ctrl")
    found = model("coarse_ctrl")
    values, masks = (
        {key.partition("/")[2]: archive[key] for key in archive if key.startswith(prefix)}
        for prefix in ("ctrl/", "ctrl_mask/")
    )
    batch, _, time = archive["codes"].shape
    return found, archive, Controls.of(found.ctrl_dims, values, masks, batch, time)


def random_codes(batch, codebooks, time, seed=0):
    return np.random.default_rng(seed).integers(0, 64, (batch, codebooks, time))


@pytest.mark.parametrize(("batch", "time"), [(1, 1), (3, 1), (1, 2), (3, 7), (2, 60)])
@pytest.mark.parametrize("steps", [1, 2, 5])
@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_sizes(vampnet, part, batch, time, steps):
    transformer = getattr(vampnet, part)
    codes = random_codes(batch, transformer.n_codebooks, time)
    mask = np.random.default_rng(1).random(codes.shape) < 0.6
    mask[:, : transformer.n_conditioning_codebooks] = False
    found = generate(transformer, codes, mask, NOISE, Sampling(sampling_steps=steps))
    assert found.shape == codes.shape
    assert found.dtype == np.int64
    assert 0 <= found.min() <= found.max() < 64
    np.testing.assert_array_equal(found[~mask], codes[~mask])


class Silent:
    """A model of one codebook whose logits are all zero; it counts how many tokens it finds masked."""

    n_codebooks, n_conditioning_codebooks, n_predict, mask_token, threads = 1, 0, 1, 8, 1

    def __init__(self) -> None:
        self.asked = []

    def __call__(self, codes, noise_level, controls):
        del controls
        self.asked.append((float(noise_level), (codes == 8).sum(axis=(1, 2)).tolist()))
        return np.zeros((len(codes), codes.shape[-1], 8), np.float32)


def test_what_is_kept_costs_nothing():
    codes = random_codes(1, 1, 9) % 8
    transformer = Silent()
    found = generate(transformer, codes, np.zeros(codes.shape, bool), NOISE, Sampling())
    np.testing.assert_array_equal(found, codes)
    assert found is not codes
    assert not transformer.asked


def test_the_schedule_counts_the_whole_batch():
    transformer = Silent()
    mask = np.zeros((2, 1, 40), bool)
    mask[0, 0, :30], mask[1, 0, :4] = True, True
    generate(transformer, np.zeros((2, 1, 40), np.int64), mask, NOISE, Sampling(sampling_steps=4))
    levels, counts = zip(*transformer.asked, strict=True)
    assert levels == (0.25, 0.5, 0.75, 1)
    assert counts == ([30, 4], [29, 3], [24, 2], [13, 1])  # 34 times cos(rπ/2) is 31, 24, 13


def test_a_single_token_stays_masked_to_the_end():
    transformer = Silent()
    generate(transformer, np.full((1, 1, 1), 8), np.zeros((1, 1, 1), bool), NOISE, Sampling(sampling_steps=3))
    assert [counts for _, counts in transformer.asked] == [[1]] * 3


def test_one_source_of_noise_gives_the_same_codes_on_one_and_two_threads(playable):
    codes = random_codes(1, 14, 180)
    mask = np.ones((1, 180), np.int64)
    runs = [
        VampNet(playable, threads=threads, coarse_chunk_s=1, c2f_chunk_s=0.7).vamp(codes, mask, noise=NOISE)
        for threads in (1, 1, 2)
    ]
    for other in runs[1:]:
        np.testing.assert_array_equal(other.codes, runs[0].codes)
    assert (runs[0].codes != codes).mean() > 0.9


def test_noise_levels_reach_a_model_of_the_film_era(model):
    film = model("coarse_film")
    codes = random_codes(2, 4, 9)
    seen = []

    class Spy:
        n_conditioning_codebooks, n_predict, mask_token, threads = 0, film.n_predict, film.mask_token, 1

        def __call__(self, codes, noise_level, controls):
            seen.append(noise_level)
            return film(codes, noise_level, controls)

    mask = np.ones(codes.shape, bool)
    found = generate(Spy(), codes, mask, NOISE, Sampling(sampling_steps=3))
    assert seen == [np.float32(1 / 3), np.float32(2 / 3), 1]
    assert (film(codes, np.float32(0.1), None) != film(codes, np.float32(0.9), None)).any()
    np.testing.assert_array_equal(found, generate(film, codes, mask, NOISE, Sampling(sampling_steps=3)))


def test_controls_reach_the_model(steered, relative):
    transformer, archive, controls = steered
    found = transformer(archive["codes"], np.float32(1), controls)
    assert relative(found, archive["logits"].transpose(0, 2, 1)) < 1e-6


def test_guidance(steered):
    transformer, archive, controls = steered
    codes, r = archive["codes"], np.float32(1)
    zeros = Controls(controls.values, {name: mask * 0 for name, mask in controls.masks.items()})
    with_them, without = transformer(codes, r, controls), transformer(codes, r, zeros)
    assert np.abs(with_them - without).max() > 0.1
    np.testing.assert_array_equal(guided(transformer, codes, r, controls, 1), with_them)
    np.testing.assert_array_equal(guided(transformer, codes, r, controls, 0), without)
    np.testing.assert_array_equal(guided(transformer, codes, r, None, 3), without)
    wanted = without.astype(np.float64) + 2.5 * (with_them.astype(np.float64) - without)
    np.testing.assert_allclose(guided(transformer, codes, r, controls, 2.5), wanted, atol=1e-5)


def test_guidance_steers_the_loop(steered):
    transformer, archive, controls = steered
    mask = np.ones(archive["codes"].shape, bool)
    made = {
        scale: generate(transformer, archive["codes"], mask, NOISE, Sampling(cfg_scale=scale), controls)
        for scale in (0, 1, 3)
    }
    np.testing.assert_array_equal(made[0], generate(transformer, archive["codes"], mask, NOISE, Sampling()))
    assert all((made[a] != made[b]).any() for a, b in ((0, 1), (1, 3), (0, 3)))


def test_parts_of_controls(steered):
    _, archive, controls = steered
    time, name = archive["codes"].shape[-1], next(iter(controls.values))
    part = controls.part(time - 2, time + 3)
    np.testing.assert_array_equal(part.values[name][..., :2], controls.values[name][..., -2:])
    assert not part.values[name][..., 2:].any()
    assert part.masks[name].shape[-1] == 5
    double = controls.stretched(2)
    np.testing.assert_array_equal(double.values[name][..., 1::2], controls.values[name])


@pytest.mark.parametrize("wrong", ["name", "time", "dim", "type", "value", "mask", "mask of none"])
def test_controls_that_do_not_fit_are_refused(steered, wrong):
    transformer, archive, controls = steered
    batch, _, time = archive["codes"].shape
    values, masks = dict(controls.values), dict(controls.masks)
    name = next(iter(values))
    changed = {
        "time": values[name][..., 1:],
        "dim": values[name].repeat(2, axis=1),
        "type": values[name].astype(np.float64),
        "value": values[name] * np.float32(np.nan),
    }
    if wrong in changed:
        values[name] = changed[wrong]
    elif wrong == "name":
        values["another"] = values[name]
    elif wrong == "mask":
        masks[name] = masks[name][:, 1:]
    else:
        del values[name]
    with pytest.raises(BadInputError):
        Controls.of(transformer.ctrl_dims, values, masks, batch, time)
