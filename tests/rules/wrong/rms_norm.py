"""Wrong RMS norms."""

from __future__ import annotations

from vampconv_rules.rms_norm import ClassicRMSNorm, StandardRMSNorm

from vampconv.dialect import vamp

from .variant import also, unguarded, wrong


def mean(op, x, m, axis=-1):
    return (
        op.ReduceMean(x, [axis], keepdims=1) if m.opset >= 18 else op.ReduceMean(x, axes=[axis], keepdims=1)
    )


@wrong(ClassicRMSNorm, "eps outside the root")
def _after(op, x, weight, eps, m):
    return op.Mul(op.Div(x, op.Add(op.Sqrt(mean(op, op.Mul(x, x), m)), eps)), weight)


@wrong(ClassicRMSNorm, "no eps")
def _after(op, x, weight, m):
    return op.Mul(op.Div(x, op.Sqrt(mean(op, op.Mul(x, x), m))), weight)


@wrong(ClassicRMSNorm, "the usual eps, whatever the op says")
def _after(op, x, weight, m):
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), 1e-6))), weight)


@wrong(ClassicRMSNorm, "squared eps")
def _after(op, x, weight, eps, m):
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps * eps))), weight)


@wrong(ClassicRMSNorm, "mean over time")
def _after(op, x, weight, eps, m):
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m, 1), eps))), weight)


@wrong(ClassicRMSNorm, "mean over the batch")
def _after(op, x, weight, eps, m):
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m, 0), eps))), weight)


@wrong(ClassicRMSNorm, "sum for mean")
def _after(op, x, weight, eps):
    return op.Mul(op.Div(x, op.Sqrt(op.Add(op.ReduceSum(op.Mul(x, x), [-1], keepdims=1), eps))), weight)


@wrong(ClassicRMSNorm, "the mean is subtracted, as in a layer norm")
def _after(op, x, weight, eps, m):
    x = op.Sub(x, mean(op, x, m))
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps))), weight)


@wrong(ClassicRMSNorm, "no weight")
def _after(op, x, eps, m):
    return op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps)))


@wrong(ClassicRMSNorm, "divided by the weight")
def _after(op, x, weight, eps, m):
    return op.Div(op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps))), weight)


@wrong(ClassicRMSNorm, "1 + weight")
def _after(op, x, weight, eps, m):
    root = op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps))
    return op.Mul(op.Div(x, root), op.Add(weight, 1.0))


@wrong(ClassicRMSNorm, "no root")
def _after(op, x, weight, eps, m):
    return op.Mul(op.Div(x, op.Add(mean(op, op.Mul(x, x), m), eps)), weight)


@wrong(ClassicRMSNorm, "the axes of opset 18 at 17")
def _after(op, x, weight, eps):
    mean = op.ReduceMean(op.Mul(x, x), [-1], keepdims=1)
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, eps))), weight)


@wrong(ClassicRMSNorm, "the axes of opset 17 at 18")
def _after(op, x, weight, eps):
    mean = op.ReduceMean(op.Mul(x, x), axes=[-1], keepdims=1)
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, eps))), weight)


@wrong(ClassicRMSNorm, "the mean's axis is lost")
def _after(op, x, weight, eps, m):
    squares = op.Mul(x, x)
    mean = op.ReduceMean(squares, [-1], keepdims=0) if m.opset >= 18 else op.ReduceMean(squares, axes=[-1])
    return op.Mul(op.Div(x, op.Sqrt(op.Add(mean, eps))), weight)


@wrong(ClassicRMSNorm, "in float64, and left there")
def _after(op, x, weight, eps, m):
    x, weight = op.Cast(x, to=11), op.Cast(weight, to=11)
    root = op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), op.Cast(eps, to=11)))
    return op.Mul(op.Div(x, root), weight)


@wrong(ClassicRMSNorm, "in float16")
def _after(op, x, weight, eps, m):
    x, weight = op.Cast(x, to=10), op.Cast(weight, to=10)
    root = op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), op.Cast(eps, to=10)))
    return op.Cast(op.Mul(op.Div(x, root), weight), to=1)


@wrong(ClassicRMSNorm, "an axis more")
def _after(op, x, weight, eps, m):
    root = op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps))
    return op.Unsqueeze(op.Mul(op.Div(x, root), weight), [0])


@wrong(ClassicRMSNorm, "brings itself back")
def _after(op, x, weight, eps):
    return vamp(op).RMSNorm(x, weight, eps=eps)


@wrong(ClassicRMSNorm, "leaves an op of the dialect")
def _after(op, x, weight, eps, m):
    normed = op.Div(x, op.Sqrt(op.Add(mean(op, op.Mul(x, x), m), eps)))
    return vamp(op).FiLM(op.Mul(normed, weight))


@wrong(ClassicRMSNorm, "raises")
def _after(op, x, weight, m):
    return op.Mul(x, weight, 1 / m.size("x", 1))


@wrong(ClassicRMSNorm, "an op that does not exist")
def _after(op, x, weight, eps):
    return op.RootMeanSquareNormalization(x, weight, epsilon=eps)


@wrong(ClassicRMSNorm, "the sizes of one sample are written down")
def _after(op, x, weight, eps, m):
    flat = op.Reshape(x, [-1, 64])
    normed = op.Div(flat, op.Sqrt(op.Add(mean(op, op.Mul(flat, flat), m), eps)))
    return op.Mul(op.Reshape(normed, [2, 2, 64]), weight)


also(ClassicRMSNorm, "never fires", require=lambda _m: [(False, "not today")])
also(ClassicRMSNorm, "no evidence", evidence=lambda _draw: [])
also(StandardRMSNorm, "unguarded", require=unguarded)
also(StandardRMSNorm, "guarded too loosely", require=lambda m: [(m.opset >= 22, "needs opset 23")])
also(StandardRMSNorm, "guarded too strictly", require=lambda m: [(m.opset > 23, "needs opset 23")])
also(StandardRMSNorm, "guarded for another reason", require=lambda m: [(m.opset >= 23, "needs a GPU")])


@wrong(StandardRMSNorm, "eps of the operator's default")
def _after(op, x, weight):
    return op.RMSNormalization(x, weight, axis=-1)


@wrong(StandardRMSNorm, "over time and features")
def _after(op, x, weight, eps):
    return op.RMSNormalization(x, weight, axis=1, epsilon=eps)


@wrong(StandardRMSNorm, "a layer norm")
def _after(op, x, weight, eps):
    return op.LayerNormalization(x, weight, axis=-1, epsilon=eps)


@wrong(StandardRMSNorm, "a guard without evidence")
def _require(m):
    yield m.opset >= 23, "RMSNormalization needs opset 23"
    yield m.size("x", -1) > 0, "the width is unknown"
