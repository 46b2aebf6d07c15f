"""How exact a rule says that it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from vampconv.dialect.op import Array


class Claim(Protocol):
    """Judges a result against the truth."""

    def breach(self, result: Array, truth: Array) -> str | None:
        """Why `result` does not keep the claim, or None if it does."""


def mismatch(result: Array, truth: Array) -> str | None:
    """A difference that no tolerance excuses: shape, kind of numbers, or where the values are not finite."""
    if result.shape != truth.shape:
        return f"shape {result.shape} is not {truth.shape}"
    if np.issubdtype(result.dtype, np.floating) != np.issubdtype(truth.dtype, np.floating):
        return f"dtype {result.dtype} stands where {truth.dtype} should"
    finite = np.isfinite(truth)
    if not np.array_equal(np.isfinite(result), finite):
        return "the results are not finite in the same places"
    if not np.array_equal(result[~finite], truth[~finite], equal_nan=np.issubdtype(truth.dtype, np.floating)):
        return "the infinite values differ"
    return None


@dataclass(frozen=True)
class Close:
    """Every element within ``atol + rtol · |truth|``, where the truth is float64; integers exactly."""

    rtol: float
    atol: float

    def breach(self, result: Array, truth: Array) -> str | None:
        if (reason := mismatch(result, truth)) is not None:
            return reason
        if truth.dtype.kind != "f":
            return Exact().breach(result, truth)
        finite = np.isfinite(truth)
        error = np.abs(result[finite].astype(np.float64) - truth[finite])
        allowed = self.atol + self.rtol * np.abs(truth[finite])
        if error.size == 0 or (error <= allowed).all():
            return None
        worst = int(np.argmax(error - allowed))
        return f"error {error[worst]:.3g} passes the claimed {allowed[worst]:.3g} ({self})"


@dataclass(frozen=True)
class Exact:
    """The truth itself, rounded once to the result's precision."""

    def breach(self, result: Array, truth: Array) -> str | None:
        if result.dtype.kind != truth.dtype.kind:
            return f"dtype {result.dtype} stands where {truth.dtype} should"
        with np.errstate(over="ignore"):
            rounded = truth.astype(result.dtype)
        if (reason := mismatch(result, rounded)) is not None:
            return reason
        differing = int(
            (result != rounded).sum() - (np.isnan(rounded).sum() if rounded.dtype.kind == "f" else 0)
        )
        return None if differing == 0 else f"{differing} of {result.size} elements differ"


@dataclass(frozen=True)
class Near:
    """Within a share of the truth in the Euclidean norm: what arithmetic in few bits can say of itself.

    Attributes
    ----------
    share
        Of the norm of the whole; and of that of every feature (along the last axis) over all rows, where there
        are `ENOUGH` of them.
    by_rows
        Of that of every row over its features instead.

    """

    share: float
    by_rows: bool = False

    def breach(self, result: Array, truth: Array) -> str | None:
        if (reason := mismatch(result, truth)) is not None:
            return reason
        if truth.dtype.kind != "f":
            return Exact().breach(result, truth)
        truth = truth.reshape(-1, truth.shape[-1] if truth.ndim else 1)
        finite = np.isfinite(truth)
        truth = np.where(finite, truth, 0)
        error = np.where(finite, result.reshape(truth.shape).astype(np.float64), 0) - truth
        axes: dict[str, int | None] = {"the whole": None}
        each, axis = ("a row", 1) if self.by_rows else ("a feature", 0)
        axes |= {each: axis} if truth.shape[axis] >= ENOUGH else {}
        for what, over in axes.items():
            found, allowed = np.linalg.norm(error, axis=over), self.share * np.linalg.norm(truth, axis=over)
            if (found > allowed).any():
                worst = int(np.argmax(found - allowed))
                found, allowed = np.ravel(found)[worst], np.ravel(allowed)[worst]
                return f"the error of {what}, {found:.3g}, passes the claimed {allowed:.3g} ({self})"
        return None


ENOUGH = 16
"""Numbers from which on the norm of their errors tells more than chance."""
