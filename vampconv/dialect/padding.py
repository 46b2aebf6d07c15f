"""Padding of audio to the codec's frames."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect


class PadToMultiple(Op):
    """Zeros on the right, up to the next multiple of `multiple`. x [..., samples] -> [..., padded]."""

    @staticmethod
    def shape(x: Dims, *, multiple: int) -> Dims:
        expect(len(x) > 0, "x has no axis")
        expect(multiple > 0, f"multiple {multiple} is not positive")
        samples = x[-1]
        return (*x[:-1], samples + -samples % multiple if isinstance(samples, int) else None)

    @staticmethod
    def meaning(x: Array, *, multiple: int) -> Array:
        missing = -x.shape[-1] % multiple
        return np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])
