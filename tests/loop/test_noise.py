"""The graph's draws are numpy's, bit for bit."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv import noise as definition
from vampconv.loop import noise
from vampconv.loop.body import LoopBuilder, port
from vampconv.noise import Noise, P, Stream

from .graphs import compiled

INT = ir.DataType.INT64


def draws(kind, opset=17, threads=1, vocab=0):
    """A graph from seed, step, batch and rows to draws."""

    def build(op, seed, step, batch, rows):
        items = op.Unsqueeze(op.Range(0, batch, 1), [1])
        state = noise.at_step(op, noise.seeded(op, seed), kind, step)
        if kind is Stream.GUMBEL:
            return noise.gumbel(op, state, items, rows)
        pair = [op.Unsqueeze(n, [2]) for n in noise.rows(op, state, items, rows)]
        return noise.exponential(op, noise.words(op, tuple(pair), noise.columns(op, state, vocab)))

    return compiled(build, {n: port(n, INT, []) for n in ("seed", "step", "batch", "rows")}, opset, threads)


@pytest.mark.parametrize("threads", [1, 2])
def test_millions_of_exponential_draws(threads):
    run = draws(Stream.EXPONENTIAL, threads=threads, vocab=1024)
    for seed, step, batch, rows in ((0, 0, 1, 2300), (2**62, 11, 3, 300), (-5, 35, 1, 1)):
        found = run(seed=seed, step=step, batch=batch, rows=rows)
        np.testing.assert_array_equal(found, Noise(seed).exponential(step, batch, rows, 1024))


@pytest.mark.parametrize("opset", [17, 23])
def test_gumbel_draws(opset):
    run = draws(Stream.GUMBEL, opset)
    for seed, step, batch, rows in ((0, 0, 2, 200_000), (2**63 - 1, 7, 3, 5)):
        found = run(seed=seed, step=step, batch=batch, rows=rows)
        np.testing.assert_array_equal(found, Noise(seed).gumbel(step, batch, rows))


def test_every_range_of_words():
    """Not only the words that seeds happen to give."""
    words = np.concatenate(
        [np.arange(1, 10**5), np.arange(P - 10**5, P), np.random.default_rng(0).integers(1, P, 2 * 10**6)]
    )
    run = compiled(lambda op, words: noise.exponential(op, words), {"words": port("words", INT, ["n"])})
    np.testing.assert_array_equal(run(words=words), definition.exponential(words))


def test_square_roots_are_rounded_as_ieee_has_it():
    """All mantissas of both parities of the exponent: what the draws rely on, in numpy and in ONNX Runtime."""
    x = np.arange(126 << 23, 128 << 23, dtype=np.int32).view(np.float32)
    ports = {"x": port("x", ir.DataType.FLOAT, ["n"])}
    root = compiled(lambda op, x: op.Sqrt(x), ports)(x=x)
    np.testing.assert_array_equal(root, np.sqrt(x))
    near = root.astype(np.float64)
    half = np.spacing(root).astype(np.float64) / 2
    assert ((near - half) ** 2 <= x).all()
    assert ((near + half) ** 2 >= x).all()


def test_builders_hold_equal_constants_once():
    op = LoopBuilder()
    inner = LoopBuilder(op)
    assert op.constant(1) is inner.constant(1)
    assert op.constant(1) is not inner.constant(1.0)
    assert op.constant(np.asarray(1.0)) is not op.constant(1.0)
