"""Recorded runs of the sampling loop, with their draws: every token of every step."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from tests.runtime.recordings import GENERATIONS, GeneratorNoise, generation, options, recording, steps_of
from vampconv.runtime.sampling import Sampling, generate
from vampconv.runtime.sampling.filters import keep_top_p
from vampconv.runtime.sampling.remask import remask
from vampconv.runtime.sampling.schedule import noise_level, to_mask
from vampconv.runtime.sampling.tokens import draw

loop = importlib.import_module("vampconv.runtime.sampling.generate")


@pytest.fixture(params=GENERATIONS)
def run(request, vampnet):
    """A recording, the model it is of, and the options."""
    archive = recording(f"generate_{request.param}")
    model = getattr(vampnet, request.param.partition("_")[0])
    return archive, model, Sampling(**options(archive))


def draws(archive, options, step):
    return archive[f"step{step}/exponential"] if options.samples(step) else None


def flat(codes):
    return codes.transpose(0, 2, 1).reshape(len(codes), -1)


def margins(logits, exponential, options):
    """How far the best of log(p/q) is above the second best, in float64, float64 [batch, rows]."""
    filtered = logits.reshape(-1, logits.shape[-1]).copy()
    if options.top_p is not None:
        keep_top_p(filtered, options.top_p)
    score = filtered.reshape(logits.shape).astype(np.float64) / options.temperature
    if exponential is not None:
        score = score - np.log(exponential.astype(np.float64))
    ordered = np.sort(score, axis=-1)
    return ordered[..., -1] - ordered[..., -2]


def test_each_step_from_the_recorded_ones_before(run, relative):
    """Our logits, tokens and masks where all that came before is the recording's."""
    archive, model, options = run
    fixed, token, steps = model.n_conditioning_codebooks, model.mask_token, options.sampling_steps
    shown = np.where(archive["mask"] == 1, token, archive["codes"])
    start, known = int((shown == token).sum()), flat(shown[:, fixed:])
    assert steps_of(archive, "step") == steps
    for step in range(steps):
        recorded = {k: archive[f"step{step}/{k}"] for k in ("logits", "sampled", "selected_probs", "gumbel")}
        exponential = draws(archive, options, step)
        ours = model(shown, noise_level(step, steps), None)
        assert relative(ours, recorded["logits"]) < 1e-6
        apart = np.abs(ours - recorded["logits"]).max() / options.temperature
        for logits in (recorded["logits"].copy(), ours):
            clear = margins(logits, exponential, options) > 8 * apart
            tokens, probabilities = draw(logits, exponential, options)
            assert clear.all(), "a tie"
            np.testing.assert_array_equal(tokens, recorded["sampled"])
            np.testing.assert_allclose(probabilities, recorded["selected_probs"], rtol=1e-5)
        masked = known == token
        known = np.where(masked, recorded["sampled"], known)
        if step < steps - 1:
            temperature = np.float32(options.mask_temperature) * (1 - noise_level(step, steps))
            counts = to_mask(step, steps, start, masked.sum(-1))
            again = remask(masked, recorded["selected_probs"], recorded["gumbel"], temperature, counts)
            assert again.sum(-1).tolist() == counts.tolist()
            known = np.where(again, token, known)
            shown[:, fixed:] = known.reshape(len(known), -1, model.n_predict).transpose(0, 2, 1)
    np.testing.assert_array_equal(known, flat(archive["output"][:, fixed:]))


def test_a_whole_run(run, monkeypatch):
    archive, model, options = run
    seen, told = [], []

    def drawn(*given):
        found = draw(*given)
        seen.append((found[0], given[3]))
        return found

    monkeypatch.setattr(loop, "draw", drawn)
    noise = generation(archive, "step", 0, options.sampling_steps)
    mask = archive["mask"].astype(bool)
    codes = archive["codes"].copy()
    found = generate(model, codes, mask, noise, options, on_step=lambda *done: told.append(done))
    for step, (tokens, masked) in enumerate(seen):
        assert masked.any()
        np.testing.assert_array_equal(tokens[masked], archive[f"step{step}/sampled"][masked])
    np.testing.assert_array_equal(found, archive["output"], strict=True)
    assert told == [(step + 1, options.sampling_steps) for step in range(options.sampling_steps)]
    np.testing.assert_array_equal(codes, archive["codes"])
    assert (found[archive["mask"] == 0] == codes[archive["mask"] == 0]).all()
    assert (found < model.mask_token).all()


def test_other_draws_make_other_codes(run):
    """What the replay compares depends on the draws."""
    archive, model, options = run
    found = generate(model, archive["codes"], archive["mask"].astype(bool), GeneratorNoise(0), options)
    assert (found != archive["output"]).mean() > 0.2


@pytest.mark.parametrize("change", ["temperature", "mask_temperature", "top_p", "sample_cutoff"])
def test_other_options_make_other_codes(vampnet, change):
    archive = recording("generate_coarse_temp_topp")
    changed = options(archive) | {change: {"sample_cutoff": 0.25}.get(change, 0.3)}
    noise = generation(archive, "step", 0, changed["sampling_steps"])
    mask = archive["mask"].astype(bool)
    found = generate(vampnet.coarse, archive["codes"], mask, noise, Sampling(**changed))
    assert (found != archive["output"]).any()
