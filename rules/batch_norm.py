"""Batch normalisation: into the convolution before it, or as one operator."""

from __future__ import annotations

from collections.abc import Iterator

from vampconv.dialect import Ops, vamp
from vampconv.rewrite import Close, Draw, Rule, Sample, Stage, V

CLOSE = Close(rtol=1e-5, atol=1e-5)


def _statistics(draw: Draw) -> dict[str, V]:
    return {
        "gamma": draw(4),
        "beta": draw(4),
        "mean": draw(4),
        "variance": draw.uniform(0.1, 4, 4),
        "eps": 1e-5,
    }


def _tiny_variances(draw: Draw) -> dict[str, V]:
    return {**_statistics(draw), "variance": draw.uniform(0, 1e-6, 4), "eps": 1e-2}


class FoldBatchNorm(Rule):
    """After a convolution: its weight times ``s = γ/sqrt(σ² + eps)``, its bias ``(bias − μ)·s + β``."""

    stage = Stage.CANONICAL
    claim = CLOSE

    @staticmethod
    def before(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V,
        gamma: V, beta: V, mean: V, variance: V, eps: V,
    ) -> V:  # fmt: skip
        y = op.Conv(x, weight, bias, strides=strides, dilations=dilations, pads=pads)
        return vamp(op).BatchNorm(y, gamma, beta, mean, variance, eps=eps)

    @staticmethod
    def after(
        op: Ops, x: V, weight: V, bias: V, strides: V, dilations: V, pads: V,
        gamma: V, beta: V, mean: V, variance: V, eps: float,
    ) -> V:  # fmt: skip
        scale = op.Div(gamma, op.Sqrt(op.Add(variance, eps)))
        scaled = op.Mul(weight, op.Reshape(scale, [-1, 1, 1]))
        shifted = op.Add(op.Mul(op.Sub(bias, mean), scale), beta)
        return op.Conv(x, scaled, shifted, strides=strides, dilations=dilations, pads=pads)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        conv: dict[str, V] = {"strides": [2], "dilations": [3], "pads": [3, 3]}
        for statistics in (_statistics(draw), _tiny_variances(draw)):
            weights: dict[str, V] = {"weight": draw(4, 2, 3), "bias": draw(4)}
            yield Sample(x=draw("batch", 2, "time"), **weights, **conv, **statistics)


class LowerBatchNorm(Rule):
    """ONNX BatchNormalization."""

    stage = Stage.LOWER
    claim = CLOSE

    @staticmethod
    def before(op: Ops, x: V, gamma: V, beta: V, mean: V, variance: V, eps: V) -> V:
        return vamp(op).BatchNorm(x, gamma, beta, mean, variance, eps=eps)

    @staticmethod
    def after(op: Ops, x: V, gamma: V, beta: V, mean: V, variance: V, eps: float) -> V:
        return op.BatchNormalization(x, gamma, beta, mean, variance, epsilon=eps)

    @staticmethod
    def evidence(draw: Draw) -> Iterator[Sample]:
        yield Sample(x=draw("batch", 4, "time"), **_statistics(draw))
        yield Sample(x=draw("batch", 4, "time"), **_tiny_variances(draw))


RULES = (FoldBatchNorm, LowerBatchNorm)
