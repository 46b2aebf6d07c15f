"""Wrong modulation, and wrong noise levels."""

from __future__ import annotations

import numpy as np
from vampconv_rules.film import DropIdentityFiLM, LowerFiLM, LowerNoiseEmbedding

from vampconv.dialect import vamp
from vampconv.dialect.film import noise_frequencies

from .variant import also, wrong

FLOAT, DOUBLE = 1, 11


@wrong(
    DropIdentityFiLM, "drops one that has a condition", before=LowerFiLM.before, evidence=LowerFiLM.evidence
)
def _after(_op, x):
    return x


@wrong(DropIdentityFiLM, "doubles")
def _after(op, x):
    return op.Add(x, x)


@wrong(DropIdentityFiLM, "keeps it")
def _after(op, x):
    return vamp(op).FiLM(x)


@wrong(DropIdentityFiLM, "in integers")
def _after(op, x):
    return op.Cast(x, to=7)


def film(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias, one=1.0):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
    return op.Add(op.Mul(x, op.Unsqueeze(op.Add(gamma, one), [1])), op.Unsqueeze(beta, [1]))


@wrong(LowerFiLM, "no + 1")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    return film(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias, one=0.0)


@wrong(LowerFiLM, "γ and β swapped")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    return film(op, x, condition, beta_weight, beta_bias, gamma_weight, gamma_bias)


@wrong(LowerFiLM, "the biases swapped")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    return film(op, x, condition, gamma_weight, beta_bias, beta_weight, gamma_bias)


@wrong(LowerFiLM, "β first")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
    return op.Mul(op.Add(x, op.Unsqueeze(beta, [1])), op.Unsqueeze(op.Add(gamma, 1.0), [1]))


@wrong(LowerFiLM, "no β")
def _after(op, x, condition, gamma_weight, gamma_bias):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    return op.Mul(x, op.Unsqueeze(op.Add(gamma, 1.0), [1]))


@wrong(LowerFiLM, "β without its bias")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    beta = op.Gemm(condition, beta_weight, transB=1)
    return op.Add(op.Mul(x, op.Unsqueeze(op.Add(gamma, 1.0), [1])), op.Unsqueeze(beta, [1]))


@wrong(LowerFiLM, "one condition per time step")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
    return op.Add(op.Mul(x, op.Unsqueeze(op.Add(gamma, 1.0), [0])), op.Unsqueeze(beta, [0]))


def waves(op, r, dim, *, order="sin cos", frequencies=None, clamp=True, end=(0, 1), wide=False, ten=10000.0):
    """The lowering with one part exchanged."""
    angle = op.Div(op.Mul(r, float(np.float32(np.pi))), 2.0)
    cosine = op.Cos(op.Cast(angle, to=DOUBLE))
    gamma = cosine if wide else op.Cast(cosine, to=FLOAT)
    kind = np.float64 if wide else np.float32
    gamma = op.Clip(gamma, np.array(1e-10, kind), np.array(1, kind)) if clamp else gamma
    levels = op.Unsqueeze(op.Mul(gamma, np.array(ten, kind)), [1])
    frequencies = noise_frequencies(dim) if frequencies is None else frequencies(dim)
    argument = op.Cast(op.Mul(levels, frequencies[None, :].astype(kind)), to=DOUBLE)
    both = {"sin": op.Sin(argument), "cos": op.Cos(argument)}
    joined = op.Cast(op.Concat(*(both[name] for name in order.split()), axis=1), to=FLOAT)
    return op.Pad(joined, [0, end[0], 0, end[1]], mode="constant") if dim % 2 else joined


def powers(step):
    def frequencies(dim):
        half = dim // 2
        return (10000.0 ** (-np.arange(half) / step(dim, half))).astype(np.float32)

    return frequencies


for mistake, parts in {
    "cosines first": {"order": "cos sin"},
    "frequencies over dim//2": {"frequencies": powers(lambda _dim, half: half)},
    "frequencies over dim/2 - 1": {"frequencies": powers(lambda dim, _half: dim / 2 - 1 + 1e-3)},
    "frequencies reversed": {"frequencies": lambda dim: noise_frequencies(dim)[::-1]},
    "frequencies in one bit": {
        "frequencies": lambda dim: np.nextafter(noise_frequencies(dim), np.float32(2))
    },
    "no clamp": {"clamp": False},
    "odd padding in front": {"end": (1, 0)},
    "in float64": {"wide": True},
    "a factor of 1000": {"ten": 1000.0},
}.items():

    @wrong(LowerNoiseEmbedding, mistake)
    def _after(op, r, dim, parts=parts):
        return waves(op, r, dim, **parts)


@wrong(LowerNoiseEmbedding, "no padding")
def _after(op, r, dim):
    return waves(op, r, dim - dim % 2)


@wrong(LowerNoiseEmbedding, "the level itself, without its cosine")
def _after(op, r, dim):
    argument = op.Cast(op.Mul(op.Unsqueeze(op.Mul(r, 1e4), [1]), noise_frequencies(dim)[None, :]), to=DOUBLE)
    both = op.Cast(op.Concat(op.Sin(argument), op.Cos(argument), axis=1), to=FLOAT)
    return op.Pad(both, [0, 0, 0, 1], mode="constant") if dim % 2 else both


@wrong(LowerNoiseEmbedding, "sines of float32 arguments, in float32")
def _after(op, r, dim):
    gamma = op.Clip(op.Cos(op.Div(op.Mul(r, float(np.float32(np.pi))), 2.0)), 1e-10, 1.0)
    argument = op.Mul(op.Unsqueeze(op.Mul(gamma, 10000.0), [1]), noise_frequencies(dim)[None, :])
    both = op.Concat(op.Sin(argument), op.Cos(argument), axis=1)
    return op.Pad(both, [0, 0, 0, 1], mode="constant") if dim % 2 else both


also(
    LowerNoiseEmbedding,
    "a guard without evidence",
    require=lambda m: [(m["dim"] >= 4, "too few frequencies")],
)
