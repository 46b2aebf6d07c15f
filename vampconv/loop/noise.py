"""`vampconv.noise` in standard ops: the same operations in the same order, so the same bits."""

from __future__ import annotations

from typing import Any

import numpy as np

from vampconv.dialect.builder import Ops
from vampconv.noise import COLUMN, DEGREES, HALF, KEYS, ROOTS, ROW, SECOND, SERIES, P, Q, Stream


def seeded(op: Ops, seed: Any) -> Any:
    """The state after a seed, int64 []."""
    state = mix(op, 0, op.Mod(seed, P))
    return mix(op, state, op.Mod(seed, Q))


def at_step(op: Ops, state: Any, stream: Stream, step: Any) -> Any:
    """The state of a stream at a step, int64 []."""
    return mix(op, mix(op, state, int(stream)), step)


def mix(op: Ops, state: Any, word: Any) -> Any:
    """:func:`vampconv.noise.mix`."""
    state = op.Mod(op.Add(state, word), P)
    for key in KEYS:
        shifted = op.Mod(op.Add(state, key), P)
        square = op.Mod(op.Mul(shifted, shifted), P)
        state = op.Mod(op.Mul(square, shifted), P)
    return state


def rows(op: Ops, state: Any, items: Any, count: Any) -> tuple[Any, Any]:
    """The two numbers of every row, int64 [batch, rows] each; items [batch, 1] and count [] are int64."""
    state = mix(op, mix(op, state, ROW), items)
    state = mix(op, state, op.Range(0, count, 1))
    first, second = _pair(op, state)
    return op.Add(first, 1), op.Add(second, 1)


def columns(op: Ops, state: Any, vocab: int) -> tuple[Any, Any]:
    """The two numbers of every column, int64 [vocab] each."""
    return _pair(op, mix(op, mix(op, state, COLUMN), op.Range(0, vocab, 1)))


def words(op: Ops, row: tuple[Any, Any], column: tuple[Any, Any]) -> Any:
    """A word in 1 … P − 1 for every row and column."""
    return op.Mod(op.Mul(op.Add(row[0], column[0]), op.Add(row[1], column[1])), P)


def gumbel(op: Ops, state: Any, items: Any, count: Any) -> Any:
    """:meth:`vampconv.noise.Noise.gumbel`: float32 [batch, rows]."""
    word = mix(op, mix(op, state, items), op.Range(0, count, 1))
    draws = exponential(op, op.Add(op.Mod(word, P - 1), 1))
    return op.Cast(op.Neg(logarithm(op, op.Cast(draws, to=_DOUBLE))), to=_FLOAT)


def exponential(op: Ops, word: Any) -> Any:
    """:func:`vampconv.noise.exponential`."""
    v = op.Mul(op.Cast(word, to=_FLOAT), 2.0**-31)
    fourth = op.Sqrt(op.Sub(1.0, v))
    second = op.Sqrt(fourth)
    first = op.Add(op.Sqrt(second), 1.0)
    z = op.Div(v, op.Mul(op.Mul(op.Add(fourth, 1.0), op.Add(second, 1.0)), op.Mul(first, first)))
    return op.Mul(_horner(op, op.Mul(z, z), [np.float32(c) for c in SERIES]), z)


def logarithm(op: Ops, x: Any) -> Any:
    """:func:`vampconv.noise.logarithm`."""
    one = np.asarray(1.0)
    for _ in range(ROOTS):
        x = op.Sqrt(x)
    z = op.Div(op.Sub(x, one), op.Add(x, one))
    total = _horner(op, op.Mul(z, z), [np.asarray(1.0 / degree) for degree in DEGREES])
    return op.Mul(total, op.Mul(z, np.asarray(2.0 ** (ROOTS + 1))))


def _pair(op: Ops, state: Any) -> tuple[Any, Any]:
    return op.Mod(state, HALF), op.Mod(mix(op, state, SECOND), HALF)


def _horner(op: Ops, x: Any, coefficients: list[Any]) -> Any:
    total = coefficients[0]
    for coefficient in coefficients[1:]:
        total = op.Add(op.Mul(total, x), coefficient)
    return total


_FLOAT, _DOUBLE = 1, 11
