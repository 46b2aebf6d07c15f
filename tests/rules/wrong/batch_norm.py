"""Wrong batch normalisations."""

from __future__ import annotations

from vampconv_rules.batch_norm import FoldBatchNorm, LowerBatchNorm

from .variant import wrong


def root(op, variance, eps):
    return op.Sqrt(op.Add(variance, eps))


FOLDED = {
    "variance not rooted": {"scale": lambda op, g, v, eps: op.Div(g, op.Add(v, eps))},
    "eps outside of the root": {"scale": lambda op, g, v, eps: op.Div(g, op.Add(op.Sqrt(v), eps))},
    "no eps": {"scale": lambda op, g, v, _eps: op.Div(g, op.Sqrt(v))},
    "eps of 1e-5, whatever the op says": {"scale": lambda op, g, v, _eps: op.Div(g, root(op, v, 1e-5))},
    "times the deviation": {"scale": lambda op, g, v, eps: op.Mul(g, root(op, v, eps))},
    "no gamma": {"scale": lambda op, _g, v, eps: op.Div(1.0, root(op, v, eps))},
    "mean not scaled": {"shift": lambda op, b, s, mean, beta: op.Add(op.Sub(op.Mul(b, s), mean), beta)},
    "mean left out": {"shift": lambda op, b, s, _mean, beta: op.Add(op.Mul(b, s), beta)},
    "mean added": {"shift": lambda op, b, s, mean, beta: op.Add(op.Mul(op.Add(b, mean), s), beta)},
    "beta before the scale": {
        "shift": lambda op, b, s, mean, beta: op.Mul(op.Add(op.Sub(b, mean), beta), s),
    },
    "no beta": {"shift": lambda op, b, s, mean, _beta: op.Mul(op.Sub(b, mean), s)},
    "bias not scaled": {"shift": lambda op, b, s, mean, beta: op.Add(op.Sub(b, op.Mul(mean, s)), beta)},
    "bias left out": {"shift": lambda op, _b, s, mean, beta: op.Sub(beta, op.Mul(mean, s))},
    "weight not scaled": {"weight": lambda _op, w, _s: w},
    "weight scaled twice": {"weight": lambda op, w, s: op.Mul(w, op.Reshape(op.Mul(s, s), [-1, 1, 1]))},
    "scale over the input channels": {
        "weight": lambda op, w, s: op.Mul(w, op.Slice(op.Reshape(s, [1, -1, 1]), [0], [2], [1])),
    },
    "scale over the taps": {
        "weight": lambda op, w, s: op.Mul(w, op.Slice(op.Reshape(s, [1, 1, -1]), [0], [3], [2])),
    },
    "strides lost": {"keep": ("dilations", "pads")},
    "dilations lost": {"keep": ("strides", "pads")},
    "pads lost": {"keep": ("strides", "dilations")},
}

for mistake, parts in FOLDED.items():

    @wrong(FoldBatchNorm, mistake)
    def _after(
        op, x, weight, bias, strides, dilations, pads, gamma, beta, mean, variance, eps, parts=parts
    ):  # fmt: skip
        scale = parts.get("scale", lambda op, g, v, eps: op.Div(g, root(op, v, eps)))
        s = scale(op, gamma, variance, eps)
        w = parts.get("weight", lambda op, w, s: op.Mul(w, op.Reshape(s, [-1, 1, 1])))(op, weight, s)
        shift = parts.get("shift", lambda op, b, s, mean, beta: op.Add(op.Mul(op.Sub(b, mean), s), beta))
        layout = {"strides": strides, "dilations": dilations, "pads": pads}
        kept = {k: layout[k] for k in parts.get("keep", layout)}
        return op.Conv(x, w, shift(op, bias, s, mean, beta), **kept)


@wrong(LowerBatchNorm, "eps of the operator's default")
def _after(op, x, gamma, beta, mean, variance):
    return op.BatchNormalization(x, gamma, beta, mean, variance)


@wrong(LowerBatchNorm, "mean and variance exchanged")
def _after(op, x, gamma, beta, mean, variance, eps):
    return op.BatchNormalization(x, gamma, beta, variance, mean, epsilon=eps)


@wrong(LowerBatchNorm, "gamma and beta exchanged")
def _after(op, x, gamma, beta, mean, variance, eps):
    return op.BatchNormalization(x, beta, gamma, mean, variance, epsilon=eps)


@wrong(LowerBatchNorm, "standard deviation for variance")
def _after(op, x, gamma, beta, mean, variance, eps):
    return op.BatchNormalization(x, gamma, beta, mean, op.Sqrt(variance), epsilon=eps)


@wrong(LowerBatchNorm, "statistics of the batch, as in training")
def _after(op, x, gamma, beta, eps):
    mean = op.ReduceMean(op.Transpose(x, perm=[1, 0, 2]), axes=[1, 2], keepdims=0)
    centred = op.Sub(x, op.Unsqueeze(mean, [1]))
    squares = op.ReduceMean(op.Transpose(op.Mul(centred, centred), perm=[1, 0, 2]), axes=[1, 2], keepdims=0)
    return op.BatchNormalization(x, gamma, beta, mean, squares, epsilon=eps)


@wrong(LowerBatchNorm, "an instance norm")
def _after(op, x, gamma, beta, eps):
    return op.InstanceNormalization(x, gamma, beta, epsilon=eps)


@wrong(LowerBatchNorm, "over time, not channels")
def _after(op, x, gamma, beta, mean, variance, eps):
    turned = op.Transpose(x, perm=[0, 2, 1])
    scale = op.Div(gamma, root(op, variance, eps))
    return op.Add(op.Mul(op.Sub(turned, mean), scale), beta)
