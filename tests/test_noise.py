"""The noise: what it is made of, its statistics, and that wrong generators would be caught."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vampconv import noise as module
from vampconv.noise import HALF, KEYS, Noise, P, Q, Stream, exponential, gumbel, logarithm, mix, modulo

LEAST = 1e-6
"""Seeds are fixed, so a sound generator passes for good; a faulty one is far below."""


def is_prime(n: int) -> bool:
    return n > 1 and all(n % d for d in range(2, int(n**0.5) + 1))


def test_the_constants_are_what_they_must_be():
    assert is_prime(P)
    assert is_prime(Q)
    assert not any(is_prime(n) and n % 3 == 2 for n in range(P + 1, 2**31))
    assert not any(is_prime(n) for n in range(Q + 1, P))
    assert P % 3 == 2
    assert (P - 1) ** 2 < 2**63
    assert 1 <= HALF + HALF - 1 < P
    assert all(0 < key < P for key in KEYS)


def test_no_intermediate_passes_63_bits():
    """The same in Python's integers, which do not overflow."""

    def exact(state: int, word: int) -> int:
        state = (state + word) % P
        for key in KEYS:
            state = pow((state + key) % P, 3, P)
        return state

    random = np.random.default_rng(0)
    states, words = random.integers(0, P, (2, 300))
    states[:3] = words[:3] = P - 1
    assert mix(states, words).tolist() == [
        exact(s, w) for s, w in zip(states.tolist(), words.tolist(), strict=True)
    ]
    large = np.concatenate([random.integers(0, 2**62, 10**5), [0, P - 1, P, P + 1, 2**62 - 1]])
    np.testing.assert_array_equal(modulo(large), large % P)


def test_mixing_is_a_permutation():
    states = np.arange(3 * 10**5, dtype=np.int64)
    assert np.unique(mix(states, np.asarray(3))).size == states.size


def test_recorded_draws_stay_what_they_are():
    """A seed must give the same music in every version."""
    assert RECORDED["words"] == Noise(7).integers(20, 5, 0, 2**31).tolist()
    assert RECORDED["exponential"] == [x.hex() for x in Noise(7).exponential(3, 1, 2, 2).ravel().tolist()]
    assert RECORDED["gumbel"] == [x.hex() for x in Noise(7).gumbel(3, 1, 3).ravel().tolist()]
    assert RECORDED["child"] == Noise(7).child(1, 2).seed


def words_of(seed=0, step=0, rows=500, vocab=1024, item=0):
    """Uniform numbers that the exponential draws came from, by the distribution function."""
    return -np.expm1(-Noise(seed).exponential(step, 1, rows, vocab, item)[0].astype(np.float64))


def uniformity(u, bins=1000):
    counts = np.bincount((u.ravel() * bins).astype(int).clip(0, bins - 1), minlength=bins)
    return stats.power_divergence(counts, lambda_="log-likelihood").pvalue


def independence(u, v, bins=24):
    table = np.histogram2d(u.ravel(), v.ravel(), bins=bins, range=[[0, 1], [0, 1]])[0]
    return stats.chi2_contingency(table, lambda_="log-likelihood").pvalue


def triples(u, v, w, bins=8):
    cells = (np.stack([u, v, w]) * bins).astype(int).clip(0, bins - 1)
    counts = np.bincount(np.ravel_multi_index(cells.reshape(3, -1), (bins,) * 3), minlength=bins**3)
    return stats.power_divergence(counts, lambda_="log-likelihood").pvalue


@pytest.mark.parametrize("seed", [0, 1, 2**61, -1])
def test_uniformity(seed):
    u = words_of(seed)
    assert uniformity(u) > LEAST
    assert stats.kstest(u.ravel(), "uniform").pvalue > LEAST
    assert uniformity(u[:, 0], 20) > LEAST
    assert uniformity(u[0], 20) > LEAST
    means = u.mean(0), u.mean(1)
    for m, n in zip(means, u.shape, strict=True):
        assert stats.kstest((m - 0.5) * np.sqrt(12 * n), "norm").pvalue > LEAST


NEIGHBOURS = {
    "columns": lambda u: (u[:, :-1], u[:, 1:]),
    "rows": lambda u: (u[:-1], u[1:]),
    "diagonal": lambda u: (u[:-1, :-1], u[1:, 1:]),
    "distant columns": lambda u: (u[:, :512], u[:, 512:]),
    "steps": lambda u: (u, words_of(step=1)),
    "seeds": lambda u: (u, words_of(seed=1)),
    "seeds far apart": lambda u: (u, words_of(seed=P)),
    "items": lambda u: (u, words_of(item=1)),
    "a step for an item": lambda _: (words_of(step=1), words_of(item=1)),
}


@pytest.fixture(scope="module")
def draws():
    return words_of()


@pytest.mark.parametrize("name", NEIGHBOURS)
def test_independence(name, draws):
    u, v = NEIGHBOURS[name](draws)
    assert independence(u, v) > LEAST
    assert abs(np.corrcoef(u.ravel(), v.ravel())[0, 1]) < 5 / np.sqrt(u.size)


def test_independence_of_three():
    u = words_of()
    assert triples(u[:, :-2], u[:, 1:-1], u[:, 2:]) > LEAST
    assert triples(u[:-2], u[1:-1], u[2:]) > LEAST
    assert triples(u[:-1, :-1], u[:-1, 1:], u[1:, :-1]) > LEAST
    four = u[:-1, :-1] - u[1:, :-1] - u[:-1, 1:] + u[1:, 1:]
    assert uniformity(four % 1.0) > LEAST  # the sum over a rectangle, by which an additive matrix is found


def test_equal_draws_are_as_frequent_as_chance_has_them():
    n = 1000 * 1024
    a, b = Noise(0)._pair(Stream.EXPONENTIAL, 0, module.ROW, 0, np.arange(1000))
    c, d = Noise(0)._pair(Stream.EXPONENTIAL, 0, module.COLUMN, np.arange(1024))
    words = modulo((a[:, None] + 1 + c) * (b[:, None] + 1 + d))
    expected = n * n / 2 / P
    assert abs(n - np.unique(words).size - expected) < 5 * np.sqrt(expected)


def test_streams_are_independent():
    kinds = [Noise(0).uniform(stream, 200_000) for stream in (*Stream, 16, 17)]
    for i, u in enumerate(kinds):
        assert uniformity(u) > LEAST
        for v in kinds[:i]:
            assert independence(u, v) > LEAST
    assert independence(kinds[0][:-1], kinds[0][1:]) > LEAST


def test_children():
    seeds = [Noise(0).child(i, j).seed for i in range(100) for j in range(100)]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= s < P * Q for s in seeds)
    first = np.array([Noise(s).uniform(Stream.MASK, 1)[0] for s in seeds[:1500]])
    assert uniformity(first, 20) > LEAST
    assert Noise(0).child(1).seed != Noise(1).child(1).seed


def test_integers():
    draws = Noise(3).integers(16, 100_000, -3, 4)
    assert sorted(set(draws.tolist())) == list(range(-3, 4))
    assert stats.chisquare(np.bincount(draws + 3)).pvalue > LEAST
    for low, high in ((0, 0), (1, 0), (0, 2**31 + 1)):
        with pytest.raises(ValueError, match="no range"):
            Noise(0).integers(16, 1, low, high)


def test_distributions():
    """Against the quantile function, over the whole range, and by tests over millions of draws."""
    words = np.unique(
        np.concatenate([np.arange(1, 3000), np.arange(P - 3000, P), np.linspace(1, P - 1, 2 * 10**6)])
    )
    words = words.astype(np.int64)
    draws = exponential(words)
    assert draws.dtype == np.float32
    assert np.abs(-np.expm1(-draws.astype(np.float64)) - words / P).max() < 2.5e-7
    assert draws.min() == 2.0**-31
    assert 16 < draws.max() < 16.5
    bulk = words < 0.999 * P
    np.testing.assert_allclose(draws[bulk], -np.log1p(-words[bulk] / P), rtol=1.2e-5)
    assert stats.kstest(Noise(0).exponential(0, 2, 1000, 1024).ravel(), "expon").pvalue > LEAST
    values = gumbel(words)
    assert np.isfinite(values).all()
    np.testing.assert_allclose(values, -np.log(draws.astype(np.float64)), rtol=1e-6, atol=1e-7)
    assert stats.kstest(Noise(0).gumbel(0, 2, 100_000).ravel(), "gumbel_r").pvalue > LEAST


def test_logarithm():
    x = np.exp(np.random.default_rng(0).uniform(-22.8, 4.1, 10**6))
    assert np.abs(logarithm(x) - np.log(x)).max() < 1e-13


def test_draws_depend_on_their_place_alone():
    whole = Noise(11).exponential(2, 3, 37, 50)
    np.testing.assert_array_equal(whole[1:2, :5, :7], Noise(11).exponential(2, 1, 5, 7, item=1))
    np.testing.assert_array_equal(Noise(11).gumbel(2, 3, 37)[2:, :9], Noise(11).gumbel(2, 1, 9, item=2))
    np.testing.assert_array_equal(Noise(1).uniform(16, 9)[:4], Noise(1).uniform(16, 4))
    numbers = np.array([110, 3, 37, 3])
    np.testing.assert_array_equal(
        Noise(11).exponential_rows(2, 37, 50)(numbers), whole.reshape(-1, 50)[numbers]
    )
    assert Noise(11).exponential(0, 0, 3, 4).shape == (0, 3, 4)
    assert Noise(11).exponential(0, 1, 0, 4).shape == (1, 0, 4)


class TestNegativeControls:
    """Faulty generators that the tests above must find."""

    def test_an_additive_matrix(self):
        random = np.random.default_rng(0)
        u = (random.random((500, 1)) + random.random((1, 1024))) % 1.0
        assert uniformity(u[0], 20) > LEAST
        four = u[:-1, :-1] - u[1:, :-1] - u[:-1, 1:] + u[1:, 1:]
        assert uniformity(np.round(four, 9) % 1.0) < LEAST

    def test_too_few_rounds(self, monkeypatch):
        monkeypatch.setattr(module, "KEYS", ())
        u = Noise(0).uniform(Stream.MASK, 200_000)
        assert uniformity(u) < LEAST

    def test_steps_that_are_not_mixed_in(self):
        u = words_of()
        assert independence(u, u) < LEAST
        assert independence(u[:-1], np.roll(u, 1, 0)[1:]) < LEAST

    def test_a_biased_draw(self):
        u = words_of() ** 1.05
        assert uniformity(u) < LEAST
        assert stats.kstest(u.ravel(), "uniform").pvalue < LEAST

    def test_words_of_a_small_range(self):
        words = np.random.default_rng(0).integers(0, P // 4, 1000 * 1024)
        n = words.size
        assert n - np.unique(words).size > 2 * n * n / 2 / P


RECORDED = {
    "words": [1320540514, 143558447, 811485408, 462300362, 1682514582],
    "exponential": [
        "0x1.d9d1460000000p-2",
        "0x1.98bffe0000000p-2",
        "0x1.454c2a0000000p+0",
        "0x1.081ca20000000p-1",
    ],
    "gumbel": ["0x1.90b9ba0000000p-1", "-0x1.dbc32a0000000p-3", "0x1.9bb2740000000p+0"],
    "child": 2924634453331412042,
}
