"""Which tokens are masked again: those of the least confidence."""

from __future__ import annotations

from typing import Any

from vampconv.dialect.builder import Ops
from vampconv.loop.body import dimension


def least_confident(op: Ops, confidence: Any, count: Any) -> Any:
    """Where a confidence is below element `count` of its sorted row, bool [batch, rows].

    Equal ones are all kept. `count`, int64 [batch, 1], is taken as the last element where it lies beyond.
    """
    rows = dimension(op, confidence, 1)
    ordered, _ = op.TopK(confidence, rows, axis=1, largest=0, sorted=1, outputs=2)
    return op.Less(confidence, op.GatherElements(ordered, op.Min(count, op.Sub(rows, 1)), axis=1))


def confidences(op: Ops, p: Any, tokens: Any, masked: Any, temperature: Any, gumbel: Any) -> Any:
    """The sum log p(token) + temperature·gumbel, and infinite where nothing was masked; float32 [batch, rows].

    Parameters
    ----------
    op
        The builder.
    p
        Probabilities, [batch, rows, vocab].
    tokens
        What was sampled, int64 [batch, rows].
    masked
        Where mask tokens stood before, bool [batch, rows].
    temperature
        Of this step, [].
    gumbel
        Noise, [batch, rows].

    """
    chosen = op.Squeeze(op.GatherElements(p, op.Unsqueeze(tokens, [2]), axis=2), [2])
    likely = op.Log(op.Where(masked, chosen, float("inf")))
    return op.Add(likely, op.Mul(temperature, gumbel))
