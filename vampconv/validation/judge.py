"""Holds a result against the truth by a rule's claim, at the scale of the value."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from vampconv.dialect.op import Array
from vampconv.rewrite.claim import Claim, Close

Truths = Iterable[Array]
"""The truth again, for inputs that were moved by less than they are rounded by."""


@dataclass(frozen=True)
class Judgement:
    """One output: its largest error in units of its root mean square, ties, and why it breaks the claim, if so."""

    error: float = 0.0
    ties: int = 0
    breach: str | None = None


def judge(claim: Claim, result: Array, truth: Array, moved: Callable[[], Truths]) -> Judgement:
    """Judge one output.

    ``Close(rtol, atol)`` is meant for values of about 1, as in a rule's samples: its `atol` is taken in units
    of the truth's root mean square, so that a large layer is not blamed for its size, nor a small one excused.
    An index that differs is a tie where `moved`, the truth for inputs moved by a rounding, differs as well.
    """
    ties = 0
    if truth.dtype.kind in "iub" and result.shape == truth.shape and (result != truth).any():
        loose = np.zeros(truth.shape, bool)
        for other in moved():
            loose |= other != truth if other.shape == truth.shape else False
        tied = loose & (result != truth)
        result, ties = np.where(tied, truth, result).astype(result.dtype), int(tied.sum())
    scale = _scale(truth) if isinstance(claim, Close) else 1.0
    if truth.dtype.kind == "f" and scale != 1.0:
        breach = claim.breach(result.astype(np.float64) / scale, truth / scale)
    else:
        breach = claim.breach(result, truth)
    return Judgement(_error(result, truth), ties, breach)


def _scale(truth: Array) -> float:
    finite = truth[np.isfinite(truth)] if truth.dtype.kind == "f" else truth[:0]
    largest = float(np.abs(finite).max()) if finite.size else 0.0
    return largest * float(np.sqrt(np.mean((finite / largest) ** 2))) if largest else 1.0


def _error(result: Array, truth: Array) -> float:
    if result.shape != truth.shape or truth.dtype.kind != "f":
        return 0.0
    finite = np.isfinite(truth) & np.isfinite(result)
    difference = np.abs(result[finite].astype(np.float64) - truth[finite])
    return float(difference.max() / _scale(truth)) if difference.size else 0.0
