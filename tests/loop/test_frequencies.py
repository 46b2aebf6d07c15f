"""Token frequencies of the sampling in the graph against the softmax, with controls that must fail."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from scipy.special import softmax
from scipy.stats import power_divergence

from vampconv.loop import noise
from vampconv.loop.body import port
from vampconv.loop.sampling import by_noise, nucleus, probabilities
from vampconv.noise import Stream

from .graphs import compiled

VOCAB, DRAWS = 50, 200_000
LOGITS = np.random.default_rng(1).normal(0, 1.5, VOCAB).astype(np.float32)
INT, FLOAT = ir.DataType.INT64, ir.DataType.FLOAT


@pytest.fixture(scope="module")
def sample():
    """A graph from a seed, logits, a temperature and a mass to tokens."""
    ports = {"seed": port("seed", INT, []), "logits": port("logits", FLOAT, ["batch", "rows", VOCAB])}
    ports |= {name: port(name, FLOAT, []) for name in ("temperature", "top_p")}

    def build(op, seed, logits, temperature, top_p):
        state = noise.at_step(op, noise.seeded(op, seed), Stream.EXPONENTIAL, 0)
        p = probabilities(op, nucleus(op, logits, top_p, VOCAB), temperature)
        return by_noise(state, op.Unsqueeze(op.Range(0, 2, 1), [1]), VOCAB)(op, p)

    run = compiled(build, ports)
    rows = np.ascontiguousarray(np.broadcast_to(LOGITS, (2, DRAWS // 2, VOCAB)))

    def frequencies(seed, temperature=1.0, top_p=1.0):
        options = {"temperature": np.float32(temperature), "top_p": np.float32(top_p)}
        return np.bincount(run(seed=seed, logits=rows, **options).ravel(), minlength=VOCAB)

    return frequencies


def g_test(found, wanted):
    """The p-value of frequencies under probabilities, none of which is small."""
    expected = wanted * found.sum()
    assert not found[wanted == 0].any()
    there = wanted > 0
    assert expected[there].min() > 5
    return power_divergence(found[there], expected[there], lambda_="log-likelihood").pvalue


@pytest.mark.parametrize("seed", [0, 5, 2**62])
@pytest.mark.parametrize("temperature", [1.0, 0.8, 2.5])
def test_frequencies_are_those_of_the_softmax(sample, seed, temperature):
    wanted = softmax(LOGITS.astype(np.float64) / temperature)
    assert g_test(sample(seed, temperature), wanted) > 0.001


def test_frequencies_after_top_p(sample):
    p = softmax(LOGITS.astype(np.float64))
    order = np.argsort(-p)
    kept = order[: 1 + int((np.cumsum(p[order])[:-1] <= 0.8).sum())]
    wanted = np.zeros(VOCAB)
    wanted[kept] = p[kept] / p[kept].sum()
    assert g_test(sample(1, top_p=0.8), wanted) > 0.001
    assert g_test(sample(1, top_p=0.8), wanted**1.05 / (wanted**1.05).sum()) < 1e-6


@pytest.mark.parametrize("wrong", [1.03, 0.97])
def test_the_test_would_see_a_temperature_off_by_three_percent(sample, wrong):
    assert g_test(sample(1), softmax(LOGITS.astype(np.float64) / wrong)) < 1e-6
