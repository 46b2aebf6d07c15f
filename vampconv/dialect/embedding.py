"""From codes to the codec's latents."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class CodebookEmbedding(Op):
    """Latents of one codebook: row c of its table for a code c, and the mask row for ``c = vocab_size``.

    codes [batch, n_codebooks, time] (int64), table [vocab_size, latent], mask [n_codebooks, latent]
    -> [batch, time, latent]. Any other code is an error.
    """

    @staticmethod
    def shape(codes: Dims, table: Dims, mask: Dims, *, codebook: int) -> Dims:
        expect(len(codes) == 3 and len(table) == 2, f"codes {codes} or table {table} has the wrong rank")
        expect(mask == (codes[1], table[1]), f"mask rows {mask} do not fit codes {codes} and table {table}")
        expect(isinstance(codes[1], int) and 0 <= codebook < codes[1], f"there is no codebook {codebook}")
        return (codes[0], codes[2], table[1])

    @staticmethod
    def meaning(codes: Array, table: Array, mask: Array, *, codebook: int) -> Array:
        chosen = codes[:, codebook, :]
        rows = len(table)
        if chosen.size and (chosen.min() < 0 or chosen.max() > rows):
            raise IndexError(f"codes must be 0 … {rows}, but reach {chosen.min()} … {chosen.max()}")
        is_mask = (chosen == rows)[..., None]
        return np.asarray(np.where(is_mask, mask[codebook], table[np.minimum(chosen, rows - 1)]))
