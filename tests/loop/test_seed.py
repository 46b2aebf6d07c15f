"""The loop with a seed gives the tokens of numpy with the same seed."""

from __future__ import annotations

import numpy as np
import pytest

from vampconv.noise import Noise
from vampconv.opsets import newest

from .numpy_loop import Options

TIE = 2e-6
"""Relative distance of two compared numbers below which float32 cannot tell them apart."""
CASES = [
    (1, 1, Options(1)),
    (1, 1, Options(5)),
    (2, 3, Options(4)),
    (3, 40, Options(12)),
    (1, 17, Options(36, mask_temperature=1.0)),
    (2, 50, Options(6, top_p=0.8, temperature=0.7)),
    (2, 33, Options(7, sample_cutoff=0.4)),
    (1, 20, Options(8, temperature=0.0)),
    (1, 20, Options(8, temperature=-1.0, mask_temperature=0.0)),
    (2, 129, Options(5, temperature=1.5)),
    (1, 600, Options(2)),
]


def check(model, batch, time, options, seed, **controls):
    codes, mask = model.draw(np.random.default_rng(seed), batch, time)
    wanted, margins = model.numpy(codes, mask, options, seed, **controls)
    assert margins.least() > TIE, "choose another seed"
    found = model.graph(codes, mask, options, seed, **controls)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(found[mask == 0], codes[mask == 0])
    assert found.max() < model.vocab
    return found


@pytest.mark.parametrize(("batch", "time", "options"), CASES, ids=str)
@pytest.mark.parametrize("name", ["coarse", "c2f"])
def test_the_same_tokens(vamp, name, batch, time, options):
    check(vamp(name, threads=(1, 2)), batch, time, options, seed=5)


@pytest.mark.parametrize("name", ["coarse", "c2f"])
def test_the_newest_opset(vamp, name):
    model = vamp(name, opset=newest())
    for batch, time, options in CASES[2:7]:
        check(model, batch, time, options, seed=6)


@pytest.mark.parametrize("seed", [0, -1, 2**63 - 1, -(2**63)])
def test_any_seed(vamp, seed):
    model = vamp()
    codes, mask = model.draw(np.random.default_rng(0), 2, 20)
    wanted, margins = model.numpy(codes, mask, Options(4), seed)
    assert margins.least() > TIE
    np.testing.assert_array_equal(model.graph(codes, mask, Options(4), seed), wanted)


def test_noise_levels_of_film(vamp):
    check(vamp("coarse_film"), 2, 25, Options(6), seed=3)


def test_controls(vamp):
    model = vamp("coarse_ctrl")
    random, controls = np.random.default_rng(1), {}
    for name, dim in model.sizes["ctrl_dims"].items():
        controls[f"ctrl.{name}"] = random.standard_normal((2, dim, 25)).astype(np.float32)
        controls[f"ctrl_mask.{name}"] = random.integers(0, 2, (2, 25)).astype(np.float32)
    assert controls
    found = check(model, 2, 25, Options(6), seed=3, **controls)
    other = check(model, 2, 25, Options(6), seed=3, **{k: v * 0 for k, v in controls.items()})
    assert (found != other).any()


def test_seeds_differ_and_repeat(vamp):
    model = vamp()
    codes, mask = model.draw(np.random.default_rng(0), 1, 60, share=1.0)
    runs = [model.graph(codes, mask, Options(6), seed) for seed in (1, 1, 2)]
    np.testing.assert_array_equal(runs[0], runs[1])
    assert 0.5 < (runs[0] != runs[2]).mean() < 1


def test_nothing_masked_and_mask_tokens_in_the_codes(vamp):
    model = vamp("c2f")
    codes, mask = model.draw(np.random.default_rng(0), 2, 9)
    np.testing.assert_array_equal(model.graph(codes, mask * 0, Options(3), 0), codes)
    codes[0, 5:, 3:] = model.vocab  # counts as masked, as in the original
    wanted, margins = model.numpy(codes, mask * 0, Options(3), 0)
    assert margins.least() > TIE
    np.testing.assert_array_equal(model.graph(codes, mask * 0, Options(3), 0), wanted)
    assert (wanted < model.vocab).all()
    codes, mask = model.draw(np.random.default_rng(0), 2, 9)
    mask[:, :2] = 1  # conditioning codebooks are put back, though the first step sees them masked
    result = model.graph(codes, mask, Options(3), 0)
    np.testing.assert_array_equal(result[:, :4], codes[:, :4])
    np.testing.assert_array_equal(result, model.numpy(codes, mask, Options(3), 0)[0])


def test_a_row_of_the_batch_depends_on_its_place_alone(vamp):
    """With one step, whose count of masked tokens is not used, every row is that of a batch of one."""
    model = vamp()
    codes, mask = model.draw(np.random.default_rng(0), 3, 20)
    together = model.graph(codes, mask, Options(1), 9)
    np.testing.assert_array_equal(together[:1], model.graph(codes[:1], mask[:1], Options(1), 9))
    noise = Noise(9)
    logits = model.forward.run(None, {"codes": np.where(mask != 0, model.vocab, codes)})[0].astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    tokens = (p / noise.exponential(0, 3, *p.shape[1:])).argmax(-1).reshape(3, 20, -1).transpose(0, 2, 1)
    np.testing.assert_array_equal(together, np.where(mask != 0, tokens, codes))
