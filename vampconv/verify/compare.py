"""Comparing a value with its truth."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vampconv.verify.difference import differ
from vampconv.verify.result import Verdict

FLOOR = 16 * 2.0**-24
SLACK = 4.0
WARN = 4.0


@dataclass(frozen=True)
class Measured:
    """How far a value is from its truth; see `vampconv.verify.result.Comparison`."""

    shape: tuple[int, ...]
    error_ort: float
    error_torch: float | None
    bound: float
    verdict: Verdict
    worst_index: tuple[int, ...] = ()
    worst_found: float = 0.0
    worst_truth: float = 0.0
    problem: str = ""
    largest: float | None = None
    """The largest magnitude of the value, if it was taken in passing."""


def compare(
    found: NDArray[Any],
    truth: Tensor,
    error_torch: float | None,
    level: float = 0.0,
    allowed: float | None = None,
) -> Measured:
    """Judge what ONNX Runtime found.

    Parameters
    ----------
    found
        Its value.
    truth
        In float64, or of integers or booleans, of the same shape.
    error_torch
        The relative error of torch in float32; None if it was not measured.
    level
        The largest error of torch in what the value is made of. A value of few elements may be near to its
        truth by luck: neither side should be held to that.
    allowed
        The error that another precision than float32 brings; integers are numbers like others then.

    """
    problem = _misfit(found, truth)
    if problem:
        return Measured(found.shape, np.inf, None, FLOOR, Verdict.FAIL, problem=problem)
    here = torch.from_numpy(found if found.flags.c_contiguous and found.flags.writeable else found.copy("C"))
    if allowed is not None and truth.dtype != torch.bool:
        here, truth = here.double(), truth.double()
    if not truth.is_floating_point():
        wrong = here != truth
        share = float(wrong.double().mean())
        verdict = Verdict.FAIL if share else Verdict.PASS
        return Measured(found.shape, share, None, FLOOR, verdict, *_worst(here, truth, wrong.double()))
    known = max(e for e in (error_torch or 0.0, level, 0.0) if np.isfinite(e))
    bound = max(SLACK * known, FLOOR, allowed or 0.0)
    difference = differ(here, truth)
    problem = "" if difference.isfinite else non_finite(here, truth) or _nothing(truth)
    if problem:
        place = _worst_place(here, truth)
        return Measured(found.shape, np.inf, error_torch, bound, Verdict.FAIL, *place, problem)
    error = difference.error
    place = _at(here, truth, difference.worst) if error > 0 else ((), 0.0, 0.0)
    verdict = judge(error, bound)
    return Measured(found.shape, error, error_torch, bound, verdict, *place, largest=difference.largest)


def judge(error: float, bound: float) -> Verdict:
    """Within the bound, within four times of it, or beyond; not a number is beyond."""
    if error <= bound:
        return Verdict.PASS
    return Verdict.WARN if error <= WARN * bound else Verdict.FAIL


def relative(found: Tensor, truth: Tensor) -> float:
    """Relative L2 error; absolute where the truth is zero, infinite where the two are not finite in other places."""
    difference = differ(found, truth)
    return difference.error if difference.isfinite or not non_finite(found, truth) else math.inf


def _misfit(found: NDArray[Any], truth: Tensor) -> str:
    if tuple(found.shape) != tuple(truth.shape):
        return f"its shape is {list(found.shape)}, not {list(truth.shape)}"
    if found.size == 0:
        return "there is nothing to compare: it is empty"
    kinds = "floating point" if truth.is_floating_point() else str(truth.dtype).removeprefix("torch.")
    fits = found.dtype.kind == "f" if truth.is_floating_point() else found.dtype.name == kinds
    return "" if fits else f"its type is {found.dtype}, not {kinds}"


def non_finite(found: Tensor, truth: Tensor) -> str:
    """What is wrong with the places of NaN and infinities, if anything is; both have one shape."""
    for name, test in (("NaN", torch.isnan), ("inf", torch.isposinf), ("-inf", torch.isneginf)):
        here, there = test(found), test(truth)
        if not torch.equal(here, there):
            return f"{int(here.sum())} elements are {name}, {int(there.sum())} of the reference"
    return ""


def _nothing(truth: Tensor) -> str:
    finite = bool(torch.isfinite(truth).any())
    return "" if finite else "there is nothing to compare: the reference has no finite element"


def _worst(found: Tensor, truth: Tensor, difference: Tensor) -> tuple[tuple[int, ...], float, float]:
    return _at(found, truth, int(difference.abs_().argmax()))


def _at(found: Tensor, truth: Tensor, flat: int) -> tuple[tuple[int, ...], float, float]:
    index = tuple(int(i) for i in np.unravel_index(flat, tuple(found.shape)))
    return index, float(found[index]), float(truth[index])


def _worst_place(found: Tensor, truth: Tensor) -> tuple[tuple[int, ...], float, float]:
    """The first element that is not finite on one side only, or not in the same way."""
    one = torch.nan_to_num(found.double(), nan=1.0, posinf=2.0, neginf=3.0)
    odd = (torch.isfinite(found) != torch.isfinite(truth)) | (
        ~torch.isfinite(found) & (one != torch.nan_to_num(truth.double(), nan=1.0, posinf=2.0, neginf=3.0))
    )
    return _worst(found, truth, odd.double())
