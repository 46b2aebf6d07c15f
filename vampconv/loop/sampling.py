"""From logits to tokens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import Ops
from vampconv.loop import noise
from vampconv.loop.body import LoopBuilder, dimension, port

_FLOAT, _DOUBLE = 1, 11
BLOCK = 1 << 17
"""Elements that are drawn at a time, so that what is between stays in the processor's cache."""

Draw = Callable[[LoopBuilder, Any], Any]
"""Makes tokens int64 [batch, rows] of probabilities float32 [batch, rows, vocab]."""


def nucleus(op: LoopBuilder, logits: Any, top_p: Any, vocab: int) -> Any:
    """Logits with −∞ for what lies beyond the most probable tokens that make up `top_p`; all of them from 1 on.

    Sums are float64, as the original's are, and compared in float32.
    """

    def cut(op: LoopBuilder) -> Any:
        values, order = op.TopK(logits, [vocab], axis=-1, largest=1, sorted=1, outputs=2)
        probability = op.Cast(op.Softmax(values, axis=-1), to=_DOUBLE)
        beyond = op.Greater(op.Cast(op.CumSum(probability, -1), to=_FLOAT), top_p)
        first = op.Less(op.Slice(values, [0], [1], [-1]), float("-inf"))
        removed = op.Concat(first, op.Slice(beyond, [0], [-1], [-1]), axis=-1)
        return op.ScatterElements(logits, order, op.Where(removed, float("-inf"), values), axis=-1)

    return op.choose(op.Less(top_p, 1.0), cut, lambda op: op.Identity(logits))


def probabilities(op: Ops, logits: Any, temperature: Any) -> Any:
    """softmax(logits/temperature), and at temperature 1 where it is not positive."""
    divisor = op.Where(op.Greater(temperature, 0.0), temperature, 1.0)
    return op.Softmax(op.Div(logits, divisor), axis=-1)


def by_draws(exponential: Any, step: Any) -> Draw:
    """Sampling by given draws, float32 [steps, batch, rows, vocab]."""
    return lambda op, p: op.ArgMax(op.Div(p, op.Gather(exponential, step, axis=0)), axis=-1, keepdims=0)


def by_noise(state: Any, items: Any, vocab: int) -> Draw:
    """Sampling by draws made on the way, a block of rows at a time; `state` is the stream's at this step."""
    block = max(1, BLOCK // vocab)

    def draw(op: LoopBuilder, p: Any) -> Any:
        count = op.Squeeze(dimension(op, p, 1), [0])
        flat = op.Reshape(p, [-1, vocab])
        rows = [op.Reshape(n, [-1, 1]) for n in noise.rows(op, state, items, count)]
        columns = noise.columns(op, state, vocab)
        total = dimension(op, flat, 0)
        blocks = op.Squeeze(op.Div(op.Add(total, block - 1), block), [0])

        def one(op: LoopBuilder) -> list[Any]:
            start = op.Mul(op.Unsqueeze(index, [0]), block)
            end = op.Min(op.Add(start, block), total)
            first, second, part = (op.Slice(v, start, end, [0]) for v in (*rows, flat))
            draws = noise.exponential(op, noise.words(op, (first, second), columns))
            tokens = op.ArgMax(op.Div(part, draws), axis=-1, keepdims=0)
            short = op.Sub(block, op.Sub(end, start))
            tokens = op.Pad(tokens, op.Concat([0], short, axis=0))
            return [op.Identity(going), tokens]

        index = port("block", ir.DataType.INT64, [])
        going = port("block_going", ir.DataType.BOOL, [])
        body = op.subgraph([index, going], one)
        tokens = op.Loop(blocks, np.bool_(True), body=body)
        tokens = op.Slice(op.Reshape(tokens, [-1]), [0], total, [0])
        return op.Reshape(tokens, op.Shape(p, start=0, end=2))

    return draw
