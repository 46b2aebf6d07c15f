"""How an output agrees with the reference's, so that one sees that all did the same work."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
BLOCK = 256
"""Rows in work at a time."""


def agreement(part: str, found: Array, wanted: Array) -> dict[str, float]:
    """Figures by name.

    ``equal``: the share of equal codes. ``error``: relative L2 distance. Of logits [batch, rows, vocab] also
    ``top1``, the share of rows with the same arg-max, and ``kl``, the mean divergence of the reference's
    distribution from the other, in nats.

    Raises
    ------
    ValueError
        If the shapes differ.

    """
    if found.shape != wanted.shape:
        raise ValueError(f"an output is {list(found.shape)}, and the reference's {list(wanted.shape)}")
    if wanted.dtype.kind in "iu":
        return {"equal": float((found == wanted).mean())}
    wide, true = found.astype(np.float64), wanted.astype(np.float64)
    figures = {"error": float(np.linalg.norm(wide - true) / np.linalg.norm(true))}
    if part in ("coarse", "c2f"):
        figures["top1"] = float((found.argmax(-1) == wanted.argmax(-1)).mean())
        figures["kl"] = _divergence(wide.reshape(-1, wide.shape[-1]), true.reshape(-1, true.shape[-1]))
    return figures


def _divergence(found: Array, wanted: Array) -> float:
    """Mean of KL(wanted ‖ found) over rows of logits."""
    total = 0.0
    for start in range(0, len(wanted), BLOCK):
        p, q = (_log_softmax(x[start : start + BLOCK]) for x in (wanted, found))
        total += float((np.exp(p) * (p - q)).sum())
    return total / len(wanted)


def _log_softmax(x: Array) -> Array:
    shifted = x - x.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def told(figures: dict[str, float] | Any) -> str:
    """The figures in words."""
    words = {"equal": "{:.2%} equal", "error": "{:.1e}", "top1": "top-1 {:.2%}", "kl": "KL {:.1e}"}
    return ", ".join(form.format(figures[name]) for name, form in words.items() if name in figures)
