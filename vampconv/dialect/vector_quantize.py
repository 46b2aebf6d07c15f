"""Vector quantisation by cosine, and the way back from codes."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits

TINY = 1e-12
"""Norms below this count as this, as in torch's ``normalize``."""

TIE = 1e-12
"""Squared distances that differ by no more than this, which float64 rounds away, are equal."""


def unit(x: Array) -> Array:
    """X over its Euclidean norm along the last axis."""
    return np.asarray(x / np.maximum(np.sqrt((x**2).sum(axis=-1, keepdims=True)), TINY))


class NearestCode(Op):
    """The row of the table that is nearest when both are scaled to norm 1; the first of several.

    latents [batch, time, latent], table [vocab_size, latent] -> [batch, time] (int64).
    """

    dtype = np.int64

    @staticmethod
    def shape(latents: Dims, table: Dims) -> Dims:
        expect(
            len(latents) == 3 and len(table) == 2, f"latents {latents} or table {table} has the wrong rank"
        )
        expect(fits(latents[2], table[1]), f"table {table} does not fit latents {latents}")
        return latents[:2]

    @staticmethod
    def meaning(latents: Array, table: Array) -> Array:
        difference = unit(latents)[:, :, None, :] - unit(table)
        distance = (difference**2).sum(axis=-1)
        return np.asarray((distance <= distance.min(axis=-1, keepdims=True) + TIE).argmax(axis=-1))


class Requantize(Op):
    """The table with each row replaced by the row that is nearest to it. table [vocab_size, latent] -> the same."""

    @staticmethod
    def shape(table: Dims) -> Dims:
        expect(len(table) == 2, f"table {table} is not [vocab_size, latent]")
        return table

    @staticmethod
    def meaning(table: Array) -> Array:
        return np.asarray(table[NearestCode.meaning(table[None], table)[0]])


class DecodeCodes(Op):
    """Sum over the given codebooks of the code's row, projected: ``Σ tables[i][code] · weights[i]ᵀ + biases[i]``.

    codes [batch, n, time] (int64), of the first n codebooks; tables [codebooks, vocab_size, latent],
    weights [codebooks, dim, latent], biases [codebooks, dim] -> [batch, time, dim].
    The mask token, ``vocab_size``, counts as code 0; any other code is an error.
    """

    @staticmethod
    def shape(codes: Dims, tables: Dims, weights: Dims, biases: Dims) -> Dims:
        expect(len(codes) == 3 and len(tables) == 3, f"codes {codes} or tables {tables} has the wrong rank")
        expect(len(weights) == 3, f"weights {weights} has the wrong rank")
        expect(weights == (tables[0], weights[1], tables[2]), f"weights {weights} do not map tables {tables}")
        expect(biases == weights[:2], f"biases {biases} do not fit weights {weights}")
        return (codes[0], codes[2], weights[1])

    @staticmethod
    def meaning(codes: Array, tables: Array, weights: Array, biases: Array) -> Array:
        vocab = tables.shape[1]
        if not 1 <= codes.shape[1] <= len(tables):
            raise IndexError(f"there are {len(tables)} codebooks, not {codes.shape[1]}")
        if codes.size and (codes.min() < 0 or codes.max() > vocab):
            raise IndexError(f"codes must be 0 … {vocab}, but reach {codes.min()} … {codes.max()}")
        plain = np.where(codes == vocab, 0, codes)
        parts = [tables[i][plain[:, i]] @ weights[i].T + biases[i] for i in range(codes.shape[1])]
        return np.asarray(sum(parts))
