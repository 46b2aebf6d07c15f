"""Draws: their frequencies, and what is taken without them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import power_divergence

from tests.runtime.recordings import GeneratorNoise
from vampconv.errors import BadInputError
from vampconv.noise import Noise
from vampconv.runtime.sampling import Sampling
from vampconv.runtime.sampling.tokens import AT_ONCE, draw

VOCAB, DRAWS = 50, 200_000
LOGITS = np.random.default_rng(1).normal(0, 1.5, VOCAB).astype(np.float32)


def frequencies(noise, **options):
    rows = np.ascontiguousarray(np.broadcast_to(LOGITS, (1, DRAWS, VOCAB)))
    tokens, _ = draw(rows, noise.exponential(0, 1, DRAWS, VOCAB), Sampling(**options))
    return np.bincount(tokens.ravel(), minlength=VOCAB)


def g_test(found, probabilities):
    """The p-value of frequencies under probabilities; cells of less than five are taken together."""
    expected = probabilities * found.sum()
    rare = expected < 5
    assert not found[probabilities == 0].any()
    cells = [np.append(x[~rare], x[rare].sum()) for x in (found.astype(float), expected)]
    cells = [x[:-1] if cells[1][-1] == 0 else x for x in cells]
    return power_divergence(*cells, lambda_="log-likelihood").pvalue


def truncated(mass):
    p = softmax(LOGITS.astype(np.float64))
    order = np.argsort(-p)
    kept = order[: 1 + int((np.cumsum(p[order])[:-1] <= mass).sum())]
    return np.where(np.isin(np.arange(VOCAB), kept), p, 0) / p[kept].sum()


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_frequencies_are_those_of_the_softmax(temperature):
    wanted = softmax(LOGITS.astype(np.float64) / temperature)
    assert g_test(frequencies(GeneratorNoise(1), temperature=temperature), wanted) > 0.001


@pytest.mark.parametrize("temperature", [0.0, -1.0])
def test_no_temperature_is_one(temperature):
    assert (
        g_test(frequencies(GeneratorNoise(2), temperature=temperature), softmax(LOGITS.astype(float))) > 0.001
    )


@pytest.mark.parametrize("seed", [0, 7, 2**61])
def test_frequencies_of_a_seed(seed):
    """Of the draws that the command line makes, not only of those of numpy's generator."""
    wanted = softmax(LOGITS.astype(np.float64) / 0.8)
    assert g_test(frequencies(Noise(seed), temperature=0.8), wanted) > 0.001


def test_frequencies_after_top_p():
    assert g_test(frequencies(GeneratorNoise(3), top_p=0.8), truncated(0.8)) > 0.001


@pytest.mark.parametrize("wrong", [1.03, 0.97])
def test_the_test_would_see_a_temperature_off_by_three_percent(wrong):
    for noise in (GeneratorNoise(1), Noise(0)):
        assert g_test(frequencies(noise), softmax(LOGITS.astype(np.float64) / wrong)) < 1e-6


class Uniform(GeneratorNoise):
    """A source with the wrong distribution."""

    def exponential(self, step, batch, rows, vocab):
        return self._random(step).random((batch, rows, vocab), np.float32) + np.float32(1e-9)


def kept(count):
    """Probabilities of so many most probable tokens."""
    p = softmax(LOGITS.astype(np.float64))
    return np.where(p >= np.sort(p)[-count], p, 0) / np.sort(p)[-count:].sum()


def test_frequencies_after_top_k():
    assert g_test(frequencies(Noise(3), top_k=9), kept(9)) > 0.001


def test_the_test_would_see_uniform_draws():
    assert g_test(frequencies(Uniform(1)), softmax(LOGITS.astype(np.float64))) < 1e-6


def test_probabilities_are_of_the_drawn_tokens():
    logits = np.random.default_rng(0).normal(0, 3, (2, 300, 40)).astype(np.float32)
    noise = GeneratorNoise(0).exponential(0, 2, 300, 40)
    tokens, probabilities = draw(logits.copy(), noise, Sampling(temperature=0.6))
    p = softmax(logits.astype(np.float64) / 0.6, axis=-1)
    np.testing.assert_array_equal(tokens, (np.log(p) - np.log(noise.astype(float))).argmax(-1))
    np.testing.assert_allclose(probabilities, np.take_along_axis(p, tokens[..., None], -1)[..., 0], rtol=1e-5)
    assert tokens.shape == probabilities.shape == (2, 300)


def test_without_draws_the_most_probable_and_of_equal_ones_the_first():
    logits = np.zeros((1, 3, 5), np.float32)
    logits[0, 1, 3] = logits[0, 1, 4] = 2
    logits[0, 2, 4] = 1
    assert draw(logits, None, Sampling(top_p=0.1))[0].tolist() == [[0, 3, 4]]


@pytest.mark.parametrize("rows", [1, AT_ONCE // 64 - 1, AT_ONCE // 64, AT_ONCE // 64 + 1])
def test_blocks_are_of_no_effect(rows):
    random = np.random.default_rng(0)
    logits = random.normal(size=(1, rows, 64)).astype(np.float32)
    noise = random.exponential(size=logits.shape).astype(np.float32)
    tokens, _ = draw(logits.copy(), noise, Sampling())
    single = [draw(logits[:, [r]], noise[:, [r]], Sampling())[0][0, 0] for r in range(0, rows, 97)]
    assert tokens[0, ::97].tolist() == single


def test_draws_are_not_written_to():
    noise = GeneratorNoise(0).exponential(0, 1, 9, 64)
    before = noise.copy()
    noise.flags.writeable = False
    draw(np.zeros((1, 9, 64), np.float32), noise, Sampling(top_k=5, typical_filtering=True))
    np.testing.assert_array_equal(noise, before)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("exponential", [None, np.ones((1, 2, 8), np.float32)])
def test_logits_that_are_not_finite_are_refused(value, exponential):
    logits = np.zeros((1, 2, 8), np.float32)
    logits[0, 1, 3] = value
    with pytest.raises(BadInputError, match="not finite"):
        draw(logits, exponential, Sampling())


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("workers", [1, 3])
def test_rows_that_are_not_masked_are_not_looked_at(share, workers):
    """Be they NaN; the others have the tokens that they have in the whole, whatever the number of threads."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(2, AT_ONCE // 64, 64)).astype(np.float32)
    noise = Noise(5)
    whole, chances = draw(logits.copy(), noise.exponential(1, *logits.shape), Sampling(top_p=0.8))
    masked = random.random(logits.shape[:2]) < share
    logits[~masked] = np.nan
    given = noise.exponential_rows(1, *logits.shape[1:])
    tokens, probabilities = draw(logits, given, Sampling(top_p=0.8), masked, workers)
    np.testing.assert_array_equal(tokens, np.where(masked, whole, 0))
    np.testing.assert_array_equal(probabilities, np.where(masked, chances, np.float32(0)))
