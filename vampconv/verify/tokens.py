"""Agreement of discrete choices: a choice that differs is a tie only if float64 itself cannot tell."""

from __future__ import annotations

from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vampconv.reference.lac import LACReference
from vampconv.verify.compare import FLOOR, SLACK
from vampconv.verify.result import Tokens


def judge_logits(found: NDArray[Any], truth: Tensor, rival: Tensor) -> Tokens:
    """Arg-max of logits [batch, positions, vocab], and the divergence of their softmax.

    A position that differs is a tie if the float64 logits of both choices are nearer to each other than
    twice what float32 may be off: four times the largest error of torch, or 16·2⁻²⁴ of the largest logit.
    Where the largest logit is NaN or infinite on either side, there is no choice that could be equal.
    """
    here = torch.from_numpy(found).double()
    allowed = max(SLACK * _largest(rival.double() - truth), FLOOR * _largest(truth))
    best, chosen = truth.argmax(-1, keepdim=True), here.argmax(-1, keepdim=True)
    margin = (truth.gather(-1, best) - truth.gather(-1, chosen)).squeeze(-1)
    none = ~torch.isfinite(here.amax(-1) + truth.amax(-1))
    differ = (best != chosen).squeeze(-1) | none
    ties = differ & ~none & (margin <= 2 * allowed)
    wanted = truth.log_softmax(-1)
    kl = (wanted.exp() * (wanted - here.log_softmax(-1))).sum(-1).mean()
    return _tokens(differ, ties, float(kl))


def judge_codes(
    codes: NDArray[Any], truth: tuple[LACReference, Tensor], rival: tuple[LACReference, Tensor]
) -> Tokens:
    """Codes int64 [batch, n, time] of an encoder, each judged on what the codes before it leave over.

    A code that is not the best is a tie if its score is no further from the best one than twice what
    float32 may be off: four times the largest error of the scores by torch's encoder, or 16·2⁻²⁴.

    Parameters
    ----------
    codes
        What ONNX Runtime chose.
    truth, rival
        The reference in float64 and in float32, each with its z [batch, channels, time].

    """
    given = torch.from_numpy(codes)
    exact, near = (model.quantizer.judge(z, given) for model, z in (truth, rival))
    off = max(float((getattr(exact, s) - getattr(near, s)).abs().max()) for s in ("best", "chosen"))
    allowed = max(SLACK * off, FLOOR)
    missed = exact.best - exact.chosen
    differ = ~(missed <= 0)
    return _tokens(differ, differ & (missed <= 2 * allowed), None)


def added(first: Tokens | None, second: Tokens) -> Tokens:
    """The counts of both, and the mean divergence."""
    if first is None:
        return second
    positions = first.positions + second.positions
    kl = (
        None
        if first.kl is None or second.kl is None
        else (first.kl * first.positions + second.kl * second.positions) / positions
    )
    return Tokens(
        positions,
        first.equal + second.equal,
        first.ties + second.ties,
        first.real + second.real,
        kl,
    )


def _largest(values: Tensor) -> float:
    """The largest magnitude of those that are finite."""
    return float(values.nan_to_num(0.0, 0.0, 0.0).abs().max())


def _tokens(differ: Tensor, ties: Tensor, kl: float | None) -> Tokens:
    count, tied = int(differ.sum()), int(ties.sum())
    return Tokens(differ.numel(), differ.numel() - count, tied, count - tied, kl)
