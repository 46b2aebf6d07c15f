"""Random numbers that are the same everywhere: counters, mixed by integer arithmetic modulo a prime.

A draw is a function of a seed and of where it is used: the stream, the step of the sampling loop, the item of the
batch, the row and the column. Nothing is kept between draws, so they depend neither on their order nor on the size of
the batch, and `vampconv.loop` computes the same bits within an ONNX graph. What is used is exact on every machine:
int64 sums, products and remainders below 2⁶³, and sums, products, quotients and square roots of IEEE floats, each
rounded by itself; no function of a mathematical library.

Mixing is the permutation of MiMC (Albrecht et al., 2016): rounds of x ↦ (x + k)³ modulo a prime P of which P − 1 is no
multiple of 3. A word of a counter is added to the state, and then come five rounds. That is for one number per
row and per column; element (row, column) of a matrix is (a + c)(b + d) mod P, where a and b are the row's numbers, c
and d the column's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Floats = NDArray[np.float32]

P = 2**31 - 69
"""The largest prime below 2³¹ that is 2 modulo 3, so that cubing is a permutation."""

Q = 2**31 - 85
"""The next smaller prime; a seed enters as its remainders modulo P and Q, so seeds of 0 … P·Q − 1 all differ."""

HALF = 2**30 - 40
"""Numbers of rows and columns are taken modulo this, so that a row's plus a column's are 1 … P − 1."""

KEYS = tuple(math.isqrt(prime << 62) % P for prime in (2, 3, 5, 7, 11))
"""Digits of the square roots of the first primes."""

ROW, COLUMN, SECOND = 1, 2, 3
"""Words that keep the numbers of rows and columns, and the two of each, apart."""

SERIES = (2.968172311782837, 3.144375801086426, 5.334313869476318, 16.0)
"""16·artanh(z)/z over z², highest power first: what errs least in the distribution of z = tanh(q/16), q ~ Exp(1)."""

ROOTS = 8
DEGREES = (11, 9, 7, 5, 3, 1)
"""The logarithm takes that many square roots, and these powers of the series of artanh."""


class Stream(IntEnum):
    """What a draw is for; draws of different streams are independent. Other numbers from 16 to P − 1 are free."""

    EXPONENTIAL = 0
    GUMBEL = 1
    MASK = 2
    ROLL = 3
    DROPOUT = 4
    SEED = 5


@dataclass(frozen=True)
class Noise:
    """The draws of one seed, an integer from 0 to P·Q − 1 (about 4.6e18); others wrap around."""

    seed: int

    def exponential(self, step: int, batch: int, rows: int, vocab: int, item: int = 0) -> Floats:
        """Draws from Exp(1), float32 [batch, rows, vocab], all positive; the batch has items item, item + 1, …"""
        drawn = self.exponential_rows(step, rows, vocab, item)(np.arange(batch * rows, dtype=np.int64))
        return drawn.reshape(batch, rows, vocab)

    def exponential_rows(
        self, step: int, rows: int, vocab: int, item: int = 0
    ) -> Callable[[Integers], Floats]:
        """Draws of a step, row by row: a function of int64 [n], numbers of rows, to float32 [n, vocab].

        Row ``i·rows + r`` is row r of item i of what `exponential` gives.
        """
        c, d = self._pair(Stream.EXPONENTIAL, step, COLUMN, np.arange(vocab, dtype=np.int64))

        def drawn(numbers: Integers) -> Floats:
            out = np.empty((len(numbers), vocab), np.float32)
            words = ROW, item + numbers // max(rows, 1), numbers % max(rows, 1)
            a, b = (1 + n for n in self._pair(Stream.EXPONENTIAL, step, *words))
            for start in range(0, len(numbers), block := max(1, 2**15 // max(vocab, 1))):
                part = slice(start, start + block)
                product = a[part, None] + c
                product *= b[part, None] + d
                out[part] = exponential(modulo(product))
            return out

        return drawn

    def gumbel(self, step: int, batch: int, rows: int, item: int = 0) -> Floats:
        """Draws from the standard Gumbel distribution, float32 [batch, rows], finite."""
        items = np.arange(item, item + batch, dtype=np.int64)[:, None]
        state = self._key(Stream.GUMBEL, step)
        return gumbel(1 + mix(mix(state, items), np.arange(rows, dtype=np.int64)) % (P - 1))

    def uniform(self, stream: int, count: int, step: int = 0, item: int = 0) -> Floats:
        """Multiples of 2⁻²⁴ in [0, 1), float32 [count]."""
        draws = self._words(stream, count, step, item) // 128
        return draws.astype(np.float32) * np.float32(2.0**-24)

    def integers(
        self, stream: int, count: int, low: int, high: int, step: int = 0, item: int = 0
    ) -> Integers:
        """Integers from `low` to `high` − 1, int64 [count]; there are at most 2³¹ of them."""
        if not 0 < high - low <= 2**31:
            raise ValueError(f"no range of 1 to 2**31 integers: {low} to {high}")
        return low + self._words(stream, count, step, item) * (high - low) // P

    def child(self, *words: int) -> Noise:
        """The noise of another seed that follows from this one and numbers from 0 to P − 1, such as a chunk's."""
        state = self._key(Stream.SEED, 0)
        for word in words:
            state = mix(state, np.asarray(word))
        return Noise(int(state) + P * (int(mix(state, np.asarray(SECOND))) % Q))

    def _key(self, stream: int, step: int) -> Integers:
        state: Integers = np.asarray(0, np.int64)
        for word in (self.seed % P, self.seed % Q, int(stream), step):
            state = mix(state, np.asarray(word, np.int64))
        return state

    def _words(self, stream: int, count: int, step: int, item: int) -> Integers:
        state = mix(self._key(stream, step), np.asarray(item, np.int64))
        return mix(state, np.arange(count, dtype=np.int64))

    def _pair(self, stream: int, step: int, *words: int | Integers) -> tuple[Integers, Integers]:
        state = self._key(stream, step)
        for word in words:
            state = mix(state, np.asarray(word, np.int64))
        return state % HALF, mix(state, np.asarray(SECOND, np.int64)) % HALF


def mix(state: Integers, word: Integers) -> Integers:
    """The state after one more word, both in 0 … P − 1."""
    state = (state + word) % P
    for key in KEYS:
        shifted = (state + key) % P
        state = shifted * shifted % P * shifted % P
    return state


def modulo(x: Integers) -> Integers:
    """``x % P`` for 0 ≤ x < 2⁶², in place and faster: 2³¹ is 69 modulo P."""
    for _ in range(2):
        low = x & (2**31 - 1)
        np.right_shift(x, 31, out=x)
        x *= 2**31 - P
        x += low
    # What is below zero after the difference is the larger one as an unsigned number.
    np.subtract(x, P, out=low)
    np.minimum(x.view(np.uint64), low.view(np.uint64), out=x.view(np.uint64))
    return x


def exponential(word: Integers) -> Floats:
    """Exp(1) of words in 1 … P − 1, float32: −log(1 − v) for v = word/2³¹.

    Three square roots of 1 − v and their sums with 1 give tanh(q/16) without cancellation. The distribution function
    is off by less than 2.5e-7; the least draw is 2⁻³¹, the greatest 16.4.
    """
    z = word.astype(np.int32).astype(np.float32)
    z *= np.float32(2.0**-31)
    one = np.float32(1)
    fourth = np.sqrt(one - z)
    second = np.sqrt(fourth)
    first = np.sqrt(second)
    for root in (fourth, second, first):
        root += one
    first *= first
    fourth *= second
    fourth *= first
    z /= fourth
    square = np.multiply(z, z, out=fourth)
    total = np.multiply(square, SERIES[0], out=second, dtype=np.float32)
    total += np.float32(SERIES[1])
    for coefficient in SERIES[2:]:
        total *= square
        total += np.float32(coefficient)
    total *= z
    return total


def gumbel(word: Integers) -> Floats:
    """Standard Gumbel draws of words in 1 … P − 1, float32."""
    return (-logarithm(exponential(word).astype(np.float64))).astype(np.float32)


def logarithm(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The natural logarithm of 2⁻³³ … 2⁶ within 1e-13, by square roots and the series of artanh."""
    for _ in range(ROOTS):
        x = np.sqrt(x)
    z = (x - 1.0) / (x + 1.0)
    square = z * z
    total = np.full_like(z, 1.0 / DEGREES[0])
    for degree in DEGREES[1:]:
        total = total * square + 1.0 / degree
    return total * (z * 2.0 ** (ROOTS + 1))
