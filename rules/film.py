"""FiLM: gone where it has no condition, a scale and a shift where it has one."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from vampconv.dialect import Ops, vamp
from vampconv.dialect.film import noise_frequencies
from vampconv.dialect.op import fits
from vampconv.rewrite import Close, Draw, Exact, Guard, Match, Refused, Rule, Sample, Stage, V

FLOAT, DOUBLE = 1, 11
QUARTER_TURN = np.array(np.pi / 2)


class DropIdentityFiLM(Rule):
    """``FiLM(x)`` without a condition is x."""

    stage = Stage.CANONICAL
    claim = Exact()

    @staticmethod
    def before(op: Ops, x: V) -> V:
        return vamp(op).FiLM(x)

    @staticmethod
    def after(_op: Ops, x: V) -> V:
        return x

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", "time", 6))


class LowerFiLM(Rule):
    """``FiLM(x, r)`` is ``x · (γ(r) + 1) + β(r)``, γ and β being affine in r."""

    stage = Stage.LOWER
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(
        op: Ops, x: V, condition: V, gamma_weight: V, gamma_bias: V, beta_weight: V, beta_bias: V
    ) -> V:
        return vamp(op).FiLM(x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias)

    @staticmethod
    def after(op: Ops, x: V, condition: V, gamma_weight: V, gamma_bias: V, beta_weight: V, beta_bias: V) -> V:
        gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
        beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
        scaled = op.Mul(x, op.Unsqueeze(op.Add(gamma, 1.0), [1]))
        return op.Add(scaled, op.Unsqueeze(beta, [1]))

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        for x, scale in ((draw("batch", "time", 6), 1.0), (draw("batch", "time", 6, scale=1e-4), 0.1)):
            yield Sample(
                x=x,
                condition=draw("batch", 4),
                gamma_weight=draw(6, 4, scale=scale),
                gamma_bias=draw(6),
                beta_weight=draw(6, 4, scale=scale),
                beta_bias=draw(6, scale=scale),
            )


class LowerNoiseEmbedding(Rule):
    """Sines and cosines of the noise level at fixed frequencies, with the cosine of γ taken in float64.

    A float32 cosine may be one unit off in its last place, which a factor of 10⁴ turns into a
    thousandth of a radian. A cosine is written as the sine of a quarter turn more: few versions of
    ONNX Runtime have Cos in float64, and all have Sin.
    """

    stage = Stage.LOWER
    claim = Close(rtol=0, atol=1e-6)

    @staticmethod
    def before(op: Ops, r: V, dim: V) -> V:
        return vamp(op).NoiseEmbedding(r, dim=dim)

    @staticmethod
    def after(op: Ops, r: V, dim: int) -> V:
        angle = op.Div(op.Mul(r, float(np.float32(np.pi))), 2.0)
        gamma = op.Cast(op.Sin(op.Add(op.Cast(angle, to=DOUBLE), QUARTER_TURN)), to=FLOAT)
        gamma = op.Clip(gamma, float(np.float32(1e-10)), 1.0)
        levels = op.Unsqueeze(op.Mul(gamma, 10000.0), [1])
        argument = op.Cast(op.Mul(levels, noise_frequencies(dim)[None, :]), to=DOUBLE)
        both = op.Concat(argument, op.Add(argument, QUARTER_TURN), axis=1)
        waves = op.Cast(op.Sin(both), to=FLOAT)
        return op.Pad(waves, [0, 0, 0, 1], mode="constant") if dim % 2 else waves

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(r=draw.uniform(0, 1, "batch"), dim=10)
        yield Sample(r=draw.uniform(0, 1, "batch"), dim=7)
        yield Sample(r=draw.uniform(0, 1, "long"), dim=6)
        yield Sample(r=draw.uniform(1, 1, "batch"), dim=4)  # cos(π/2) is clamped


class RaiseFiLM(Rule):
    """``x · (γ(r) + 1) + β(r)`` with the features before time, between two transpositions, is ``FiLM``."""

    stage = Stage.RAISE
    claim = Close(rtol=1e-5, atol=1e-5)

    @staticmethod
    def before(
        op: Ops, x: V, condition: V, gamma_weight: V, gamma_bias: V, beta_weight: V, beta_bias: V
    ) -> V:
        gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
        beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
        gain = op.either(
            lambda: op.Add(op.Unsqueeze(gamma, [2]), 1.0), lambda: op.Unsqueeze(op.Add(gamma, 1.0), [2])
        )
        scaled = op.Mul(op.Transpose(x, perm=[0, 2, 1]), gain)
        return op.Transpose(op.Add(scaled, op.Unsqueeze(beta, [2])), perm=[0, 2, 1])

    @staticmethod
    def require(m: Match) -> Iterator[Guard]:
        weights = "gamma_weight", "gamma_bias", "beta_weight", "beta_bias"
        yield m.floats("x", "condition", *weights), "it is not in float32"
        dim, size = m.size("x", -1), m.size("condition", -1)
        matrices = m.shape("gamma_weight") == m.shape("beta_weight") == (dim, size)
        vectors = m.shape("gamma_bias") == m.shape("beta_bias") == (dim,)
        yield (
            dim > 0 and size > 0 and matrices and vectors,
            "the weights are not one γ and β for each feature",
        )
        x, condition = m.shape("x") or (None,), m.shape("condition") or (None,)
        yield len(x) == 3 and fits(x[0], condition[0]), "there is not one condition for each of the batch"

    @staticmethod
    def after(op: Ops, x: V, condition: V, gamma_weight: V, gamma_bias: V, beta_weight: V, beta_bias: V) -> V:
        return vamp(op).FiLM(x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        good = dict(next(iter(LowerFiLM.evidence(draw))).arguments)
        yield from LowerFiLM.evidence(draw)
        yield Refused("each feature", **{**good, "gamma_bias": draw(1)})
        yield Refused("each of the batch", **{**good, "x": draw(3, "time", 6), "condition": draw.input(1, 4)})
        yield Refused("float32", **{k: v.astype(np.float64) for k, v in good.items()})


RULES = (RaiseFiLM, DropIdentityFiLM, LowerFiLM, LowerNoiseEmbedding)
