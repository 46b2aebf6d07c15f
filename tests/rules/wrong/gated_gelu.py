"""Wrong gates."""

from __future__ import annotations

import math

from vampconv_rules.gated_gelu import ClassicGatedGELU, StandardGatedGELU

from .variant import also, unguarded, wrong

SLOPE = math.sqrt(2 / math.pi)


def halves(op, x, m):
    half = m.size("x", -1) // 2
    return op.Split(x, [half, half], axis=-1, outputs=2)


def gelu(op, gate, cubic=0.044715, slope=SLOPE, half=0.5):
    inner = op.Mul(op.Add(gate, op.Mul(op.Mul(op.Mul(gate, gate), gate), cubic)), slope)
    return op.Mul(op.Mul(gate, half), op.Add(op.Tanh(inner), 1.0))


@wrong(ClassicGatedGELU, "the gate is the first half")
def _after(op, x, m):
    gate, value = halves(op, x, m)
    return op.Mul(value, gelu(op, gate))


@wrong(ClassicGatedGELU, "erf for tanh")
def _after(op, x, m):
    value, gate = halves(op, x, m)
    normal = op.Add(op.Erf(op.Mul(gate, math.sqrt(0.5))), 1.0)
    return op.Mul(value, op.Mul(op.Mul(gate, 0.5), normal))


@wrong(ClassicGatedGELU, "a sigmoid for GELU")
def _after(op, x, m):
    value, gate = halves(op, x, m)
    return op.Mul(value, op.Mul(gate, op.Sigmoid(op.Mul(gate, 1.702))))


for mistake, constants in {
    "0.0044715": {"cubic": 0.0044715},
    "0.0447": {"cubic": 0.0447},
    "0.8 for sqrt(2/pi)": {"slope": 0.8},
    "sqrt(pi/2)": {"slope": math.sqrt(math.pi / 2)},
    "not halved": {"half": 1.0},
}.items():

    @wrong(ClassicGatedGELU, mistake)
    def _after(op, x, m, constants=constants):
        value, gate = halves(op, x, m)
        return op.Mul(value, gelu(op, gate, **constants))


@wrong(ClassicGatedGELU, "gate squared, not cubed")
def _after(op, x, m):
    value, gate = halves(op, x, m)
    inner = op.Mul(op.Add(gate, op.Mul(op.Mul(gate, gate), 0.044715)), math.sqrt(2 / math.pi))
    return op.Mul(value, op.Mul(op.Mul(gate, 0.5), op.Add(op.Tanh(inner), 1.0)))


@wrong(ClassicGatedGELU, "even and odd features")
def _after(op, x, m):
    half = m.size("x", -1) // 2
    pairs = op.Reshape(x, [0, 0, half, 2])
    return op.Mul(op.Gather(pairs, 0, axis=-1), gelu(op, op.Gather(pairs, 1, axis=-1)))


@wrong(ClassicGatedGELU, "halved along time")
def _after(op, x):
    value, gate = op.Split(x, axis=1, outputs=2)
    return op.Mul(value, gelu(op, gate))


@wrong(ClassicGatedGELU, "sum for product")
def _after(op, x, m):
    value, gate = halves(op, x, m)
    return op.Add(value, gelu(op, gate))


@wrong(ClassicGatedGELU, "the value is lost")
def _after(op, x, m):
    return gelu(op, halves(op, x, m)[1])


@wrong(StandardGatedGELU, "erf, the operator's default")
def _after(op, x, m):
    value, gate = halves(op, x, m)
    return op.Mul(value, op.Gelu(gate))


@wrong(StandardGatedGELU, "the gate is the first half")
def _after(op, x, m):
    gate, value = halves(op, x, m)
    return op.Mul(value, op.Gelu(gate, approximate="tanh"))


also(StandardGatedGELU, "unguarded", require=unguarded)
also(StandardGatedGELU, "guarded too loosely", require=lambda m: [(m.opset >= 19, "Gelu needs opset 20")])
also(ClassicGatedGELU, "unguarded", require=unguarded)
also(StandardGatedGELU, "any width", require=lambda m: [(m.opset >= 20, "Gelu needs opset 20")])
