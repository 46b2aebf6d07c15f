"""Time-varying controls (Sketch2Sound)."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits


class ControlEncoder(Op):
    """One control signal, projected to the model's width and silenced where its mask is 0 (arXiv:2412.08550).

    control [batch, dim, time], mask [batch, time], weight [out, dim], bias [out] -> [batch, time, out].
    """

    @staticmethod
    def shape(control: Dims, mask: Dims, weight: Dims, bias: Dims) -> Dims:
        expect(len(control) == 3 and len(mask) == 2, f"control {control} or mask {mask} has the wrong rank")
        fit = fits(mask[0], control[0]) and fits(mask[1], control[2])
        expect(fit, f"mask {mask} does not fit control {control}")
        expect(
            len(weight) == 2 and weight[1] == control[1], f"weight {weight} does not map control {control}"
        )
        expect(bias == weight[:1], f"bias {bias} does not fit weight {weight}")
        return (control[0], control[2], weight[0])

    @staticmethod
    def meaning(control: Array, mask: Array, weight: Array, bias: Array) -> Array:
        return np.asarray((np.einsum("bit,oi->bto", control, weight) + bias) * mask[:, :, None])
