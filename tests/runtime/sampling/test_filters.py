"""Filters against their definitions, written element by element in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampconv.errors import UsageError
from vampconv.runtime.sampling import Sampling
from vampconv.runtime.sampling.filters import _sums, keep_top_k, keep_top_p, keep_typical

RANDOM = np.random.default_rng(0)
SPREAD = [RANDOM.normal(0, scale, (20, 31)).astype(np.float32) for scale in (0.1, 1, 4)]


def softmax(row):
    p = np.exp(row.astype(np.float64) - row.max())
    return p / p.sum()


def top_p(row, mass):
    """Indices that are kept."""
    p, kept, total = softmax(row), set(), 0.0
    for index in sorted(range(len(row)), key=lambda i: (-row[i], i)):
        if total > mass:
            break
        kept.add(index)
        total += p[index]
    return kept


def typical(row, mass, least):
    p = softmax(row)
    entropy = -sum(q * np.log(q) for q in p)
    order = sorted(range(len(row)), key=lambda i: (abs(-np.log(p[i]) - entropy), i))
    kept, total = set(), 0.0
    for place, index in enumerate(order):
        if total >= mass and place >= least:
            break
        kept.add(index)
        total += p[index]
    return kept


def check(filtered, logits, wanted):
    for row, before, kept in zip(filtered, logits, wanted, strict=True):
        assert set(np.flatnonzero(np.isfinite(row))) == kept
        assert all(row[i] == before[i] for i in kept)
        assert (row[[i for i in range(len(row)) if i not in kept]] == -np.inf).all()


@pytest.mark.parametrize("logits", SPREAD)
@pytest.mark.parametrize("mass", [0.0, 0.123, 0.5, 0.9, 0.999])
def test_top_p(logits, mass):
    filtered = logits.copy()
    keep_top_p(filtered, mass)
    check(filtered, logits, [top_p(row, mass) for row in logits])


def test_top_p_keeps_the_first_of_equal_logits():
    logits = np.zeros((3, 8), np.float32)
    logits[1, 5] = 1
    logits[2, 0] = -1
    filtered = logits.copy()
    keep_top_p(filtered, 0.3)
    check(filtered, logits, [{0, 1, 2}, {5, 0}, {1, 2, 3}])


def test_sums_are_those_of_torch():
    """Bit for bit, so that the same tokens are kept; sums in float32 would differ in nine of ten places."""
    p = torch.softmax(torch.from_numpy(RANDOM.normal(0, 2, (50, 1024)).astype(np.float32)), -1)
    p = torch.sort(p, descending=True)[0]
    np.testing.assert_array_equal(_sums(p.numpy()), torch.cumsum(p, -1).numpy())


@pytest.mark.parametrize("logits", SPREAD)
@pytest.mark.parametrize("count", [1, 2, 30, 31, 99])
def test_top_k(logits, count):
    filtered = logits.copy()
    keep_top_k(filtered, count)
    check(filtered, logits, [set(np.argsort(-row)[:count].tolist()) for row in logits])


@pytest.mark.parametrize("logits", SPREAD)
@pytest.mark.parametrize(("mass", "least"), [(0.15, 1), (0.15, 5), (0.9, 1), (0.99, 1), (0.0, 3), (0.2, 64)])
def test_typical(logits, mass, least):
    filtered = logits.copy()
    keep_typical(filtered, mass, least)
    check(filtered, logits, [typical(row, mass, least) for row in logits])


def test_typical_after_removed_logits_is_finite():
    logits = SPREAD[1].copy()
    keep_top_k(logits, 6)
    keep_typical(logits, 0.9, 1)
    assert (np.isfinite(logits).sum(-1) >= 1).all()
    assert (np.isfinite(logits).sum(-1) <= 6).all()


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampling_steps": 0},
        {"sampling_steps": 2.5},
        {"sampling_steps": 10_001},
        {"temperature": float("nan")},
        {"mask_temperature": float("inf")},
        {"top_p": 1.1},
        {"top_p": -0.1},
        {"top_k": 0},
        {"typical_mass": 2},
        {"typical_min_tokens": 0},
        {"sample_cutoff": float("nan")},
        {"cfg_scale": float("inf")},
    ],
)
def test_options_that_cannot_be_meant_are_refused(wrong):
    with pytest.raises(UsageError, match=next(iter(wrong))):
        Sampling(**wrong)
