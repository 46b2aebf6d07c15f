"""Feature-wise linear modulation, and the noise level that drives it."""

from __future__ import annotations

import numpy as np

from vampconv.dialect.op import Array, Dims, Op, expect, fits


class FiLM(Op):
    """``x · (γ(r) + 1) + β(r)``, one γ and β per feature (arXiv:1709.07871); without a condition, x itself.

    x [batch, time, dim], condition [batch, r], γ and β weights [dim, r] and biases [dim]
    -> [batch, time, dim].
    """

    @staticmethod
    def shape(x: Dims, condition: Dims = (), *weights: Dims) -> Dims:
        if not weights:
            return x
        expect(len(weights) == 4, "FiLM takes weight and bias of γ and of β")
        fit = len(x) == 3 and len(condition) == 2 and fits(x[0], condition[0])
        expect(fit, f"condition {condition} does not fit x {x}")
        for weight, bias in (weights[:2], weights[2:]):
            expect(weight == (x[-1], condition[-1]), f"weight {weight} does not map {condition} to {x}")
            expect(bias == x[-1:], f"bias {bias} does not fit {x}")
        return x

    @staticmethod
    def meaning(x: Array, condition: Array | None = None, *weights: Array) -> Array:
        if condition is None:
            return x
        gamma_weight, gamma_bias, beta_weight, beta_bias = weights
        gamma = np.einsum("br,dr->bd", condition, gamma_weight) + gamma_bias
        beta = np.einsum("br,dr->bd", condition, beta_weight) + beta_bias
        return np.asarray(x * (gamma + 1)[:, None, :] + beta[:, None, :])


class NoiseEmbedding(Op):
    """Sinusoids of the noise level: sines, then cosines, of ``10000 · γ(r) · 10000^(−k/(dim//2 − 1))``.

    γ(r) = cos(r·π/2), clamped to [1e-10, 1]; an odd dim ends in a zero. r [batch] -> [batch, dim].
    VampNet up to June 2023 (``r_embed``) computes γ, the frequencies and their product in float32,
    and the sines of arguments as large as 10⁴ depend on it: so does this definition.
    """

    @staticmethod
    def shape(r: Dims, *, dim: int) -> Dims:
        expect(len(r) == 1, f"r {r} is not [batch]")
        expect(dim >= 4, f"dim {dim} leaves no two frequencies")
        return (r[0], dim)

    @staticmethod
    def meaning(r: Array, *, dim: int) -> Array:
        angle = r.astype(np.float32) * np.float32(np.pi) / np.float32(2)
        gamma = np.clip(np.cos(angle.astype(np.float64)).astype(np.float32), np.float32(1e-10), np.float32(1))
        argument = (gamma * np.float32(10000))[:, None] * noise_frequencies(dim)[None, :]
        wide = argument.astype(np.float64)
        columns = [np.sin(wide), np.cos(wide)] + [np.zeros((len(r), 1))] * (dim % 2)
        return np.concatenate(columns, axis=1)


def noise_frequencies(dim: int) -> Array:
    """``exp(−k · ln(10000)/(dim//2 − 1))`` for k in 0 … dim//2 − 1, in the original's float32."""
    half = dim // 2
    step = np.float32(-(np.log(10000) / (half - 1)))
    exponents = np.arange(half, dtype=np.float32) * step
    return np.asarray(np.exp(exponents.astype(np.float64)).astype(np.float32))
