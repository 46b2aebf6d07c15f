"""The gated linear unit (arXiv:1612.08083)."""

import numpy as np

from vampconv.dialect import Op, expect


class GatedLinearUnit(Op):
    """``a · sigmoid(b)``, where x is a over b: [batch, 2·channels, time] -> [batch, channels, time]."""

    @staticmethod
    def shape(x):
        batch, channels, time = x
        expect(isinstance(channels, int) and channels % 2 == 0, f"{channels} channels have no halves")
        return (batch, channels // 2, time)

    @staticmethod
    def meaning(x):
        a, b = np.split(x, 2, axis=1)
        return a / (1 + np.exp(-b))
