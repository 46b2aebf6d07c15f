"""Wrong raising rules: things that only look like what they are raised to."""

from __future__ import annotations

from vampconv_rules.attention import RaiseAttention, RaiseHeadsFirstAttention
from vampconv_rules.film import RaiseFiLM
from vampconv_rules.gated_gelu import RaiseSizedSplitGatedGELU, RaiseSlicedGatedGELU, RaiseSplitGatedGELU
from vampconv_rules.linear import RaisePointwiseConv
from vampconv_rules.nearest_code import RaiseNearestCode, RaiseUnitRows
from vampconv_rules.relative_bias import RaisePositionBias, RaiseT5Bias
from vampconv_rules.requantize import RaiseRequantize
from vampconv_rules.rms_norm import RaiseRMSNorm
from vampconv_rules.snake import RaiseFoldedSnake, RaiseSnake
from vampconv_rules.tanh_gelu import (
    ClassicTanhGELU,
    RaiseTanhGELU,
    RaiseTanhGELUHalvedFactor,
    RaiseTanhGELUHalvedLast,
    StandardTanhGELU,
)
from vampconv_rules.weight_norm import RaiseScaledUnits, RaiseWeightNorm

from vampconv.dialect import vamp

from .variant import also, unguarded, wrong

GATED = (RaiseSplitGatedGELU, RaiseSizedSplitGatedGELU, RaiseSlicedGatedGELU)
GELU = (RaiseTanhGELU, RaiseTanhGELUHalvedLast, RaiseTanhGELUHalvedFactor)
GUARDED = (
    *GATED,
    *GELU,
    RaiseAttention,
    RaiseHeadsFirstAttention,
    RaiseFiLM,
    RaisePointwiseConv,
    RaisePositionBias,
    RaiseT5Bias,
    RaiseRMSNorm,
    RaiseSnake,
    RaiseFoldedSnake,
    RaiseUnitRows,
    RaiseNearestCode,
    RaiseRequantize,
    RaiseWeightNorm,
    RaiseScaledUnits,
    StandardTanhGELU,
)

for rule in GUARDED:
    also(rule, "unguarded", require=unguarded)
    also(rule, "never fires", require=lambda _m: [(False, "not today")])
    also(rule, "no evidence", evidence=lambda _draw: [])

for rule in GATED:
    also(rule, "the gate is dropped", after=lambda op, x: op.Split(x, axis=-1, num_outputs=2, outputs=2)[0])

for rule in GELU:
    also(rule, "the sigmoid form", after=lambda op, x: op.Mul(x, op.Sigmoid(op.Mul(x, 1.702))))

for rule in (StandardTanhGELU, ClassicTanhGELU):
    also(rule, "the sigmoid form", after=lambda op, x: op.Mul(x, op.Sigmoid(op.Mul(x, 1.702))))
also(StandardTanhGELU, "the exact form", after=lambda op, x: op.Gelu(x, approximate="none"))
also(ClassicTanhGELU, "brings itself back", after=lambda op, x: vamp(op).TanhGELU(x))


@wrong(RaiseTanhGELU, "another constant is taken for it")
def _before(op, x):
    cube = op.Mul(x, op.Mul(x, x))
    inner = op.Mul(op.Add(x, op.Mul(cube, 0.043)), 0.7978845608)
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Tanh(inner), 1.0))


@wrong(RaiseTanhGELU, "the square for the cube")
def _before(op, x):
    inner = op.Mul(op.Add(x, op.Mul(op.Mul(x, x), 0.044715)), 0.7978845608)
    return op.Mul(op.Mul(x, 0.5), op.Add(op.Tanh(inner), 1.0))


@wrong(RaiseSlicedGatedGELU, "the halves are exchanged")
def _before(op, x, axis, start, middle, end):
    gate = op.Slice(x, start, middle, axis)
    return op.Mul(op.Slice(x, middle, end, axis), vamp(op).TanhGELU(gate))


@wrong(RaiseRMSNorm, "eps outside the root")
def _before(op, x, weight, eps, axes):
    mean = op.either(
        lambda: op.ReduceMean(op.Mul(x, x), axes, keepdims=1),
        lambda: op.ReduceMean(op.Mul(x, x), axes=axes, keepdims=1),
    )
    return op.Mul(op.Div(x, op.Add(op.Sqrt(mean), eps)), weight)


@wrong(RaiseRMSNorm, "the sum for the mean")
def _before(op, x, weight, eps, axes):
    root = op.Sqrt(op.Add(op.ReduceSum(op.Mul(x, x), axes, keepdims=1), eps))
    return op.Mul(op.Div(x, root), weight)


@wrong(RaiseRMSNorm, "the usual eps, whatever is written")
def _after(op, x, weight):
    return vamp(op).RMSNorm(x, weight, eps=1e-6)


@wrong(RaiseSnake, "the square is left out")
def _before(op, x, alpha):
    return op.Add(x, op.Div(op.Sin(op.Mul(alpha, x)), op.Add(alpha, 1e-9)))


@wrong(RaiseSnake, "x is scaled too")
def _before(op, x, alpha):
    u = op.Mul(alpha, x)
    wave = op.Sin(u)
    return op.Add(u, op.Div(op.Mul(wave, wave), op.Add(alpha, 1e-9)))


@wrong(RaiseFoldedSnake, "alpha for its inverse")
def _after(op, x, inverse):
    return vamp(op).Snake(x, inverse)


@wrong(RaiseWeightNorm, "without g")
def _after(op, g, v):
    return vamp(op).WeightNorm(op.Div(g, g), v)


@wrong(RaiseScaledUnits, "without g")
def _after(op, g, v):
    return vamp(op).WeightNorm(op.Div(g, g), v)


@wrong(RaisePointwiseConv, "without the bias")
def _after(op, x, weight, bias):
    return vamp(op).PointwiseConv(x, weight, op.Sub(bias, bias))


@wrong(RaiseFiLM, "γ and β exchanged")
def _after(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    return vamp(op).FiLM(x, condition, beta_weight, beta_bias, gamma_weight, gamma_bias)


@wrong(RaiseFiLM, "γ without the one")
def _before(op, x, condition, gamma_weight, gamma_bias, beta_weight, beta_bias):
    gamma = op.Gemm(condition, gamma_weight, gamma_bias, transB=1)
    beta = op.Gemm(condition, beta_weight, beta_bias, transB=1)
    scaled = op.Mul(op.Transpose(x, perm=[0, 2, 1]), op.Unsqueeze(gamma, [2]))
    return op.Transpose(op.Add(scaled, op.Unsqueeze(beta, [2])), perm=[0, 2, 1])


@wrong(RaisePositionBias, "query and key exchanged")
def _after(op, length, table):
    bias = vamp(op).RelativePositionBias(op.Unsqueeze(length, [0]), table, max_distance=128)
    return op.Transpose(bias, perm=[1, 0, 3, 2])


@wrong(RaiseAttention, "without the bias")
def _after(op, q, k, v, m):
    return vamp(op).Attention(q, k, v, heads=m.integers("split")[2])


@wrong(RaiseAttention, "one head")
def _after(op, q, k, v, bias):
    return vamp(op).Attention(q, k, v, bias, heads=1)


@wrong(RaiseHeadsFirstAttention, "keys for values")
def _after(op, q, k, bias, m):
    return vamp(op).Attention(q, k, k, op.Transpose(bias, perm=[1, 0, 2, 3]), heads=m.integers("split")[2])


@wrong(RaiseNearestCode, "the farthest")
def _after(op, latents, columns):
    return vamp(op).NearestCode(op.Neg(latents), op.Transpose(columns, perm=[1, 0]))


@wrong(RaiseRequantize, "the table as it is, one row on")
def _after(op, codes, table):
    return op.Gather(table, op.Mul(codes, 0), axis=0)


@wrong(RaiseUnitRows, "norms of the columns")
def _after(op, table):
    return op.Div(table, op.Sqrt(op.ReduceSum(op.Mul(table, table), [0], keepdims=1)))
