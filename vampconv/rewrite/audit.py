"""The audit: a rule's samples, computed by definition and by the rewritten graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.errors import PluginError
from vampconv.rewrite.claim import Claim
from vampconv.rewrite.engine import apply_rules, compiled, refusal
from vampconv.rewrite.evidence import Draw, Fails, Refused, Sample
from vampconv.rewrite.execute import REFUSALS, Runner, interpret, load
from vampconv.rewrite.match import Match
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.sample_graph import build

SIZES: tuple[Mapping[str, int], ...] = (
    {"batch": 1, "time": 1, "long": 1},
    {"batch": 2, "time": 2, "long": 100},
    {"batch": 3, "time": 13, "long": 300},
)
OPSETS = (17, 18, 20, 23)
ERRORS: tuple[type[Exception], ...] = (ArithmeticError, LookupError, ValueError)


class RefutedError(AssertionError):
    """The evidence does not bear the rule out."""


@dataclass(frozen=True)
class Verdict:
    """How an audit went: samples compared, failed and refused as they should, and the largest error seen."""

    compared: int
    failed: int
    refused: int
    largest_error: float


def audit(
    rule: type[Rule], *, opsets: Iterable[int] = OPSETS, sizes: Iterable[Mapping[str, int]] = SIZES
) -> Verdict:
    """Check a rule against its evidence: every sample, at every opset and size of the dynamic dimensions.

    Raises
    ------
    RefutedError
        With the sample and the reason, if the rule does not fire exactly as often as the sample says,
        leaves an op behind that its stage forbids, makes an illegal model, passes its claimed error,
        computes what must fail, or accepts what it must refuse; or if the evidence is too weak: nothing
        is compared, zeros would pass, or a guard is never seen to decline.

    """
    compared, failed, refused, largest = 0, 0, 0, 0.0
    guards: set[str] = set()
    declined: set[str] = set()
    telling = False
    for opset in opsets:
        for seed, size in enumerate(sizes):
            for index, sample in enumerate(rule.evidence(Draw(size, seed))):
                at = sample.opset or opset if isinstance(sample, Refused) else max(opset, sample.opset or 0)
                where = f"{rule.__name__}, sample {index} at opset {at}, {dict(size)}"
                try:
                    if isinstance(sample, Refused):
                        declined.add(_check_refusal(rule, sample, at, where))
                        refused += 1
                        continue
                    rewritten = _rewritten(rule, sample, at, where, guards)
                    if isinstance(sample, Fails):
                        _check_failure(rewritten, where)
                        failed += 1
                    else:
                        error, tells = _check_values(rule.claim, rewritten, where)
                        largest, telling = max(largest, error), telling or tells
                        compared += 1
                except PluginError as error:
                    raise RefutedError(f"{where}: {error}") from error
    if compared == 0:
        raise RefutedError(f"{rule.__name__} brings no sample that can be compared")
    if not telling:
        raise RefutedError(f"{rule.__name__}: zeros would pass its claim {rule.claim} on every sample")
    if guards - declined:
        raise RefutedError(f"{rule.__name__} brings no sample for its guard {min(guards - declined)!r}")
    return Verdict(compared, failed, refused, largest)


def _check_refusal(rule: type[Rule], sample: Refused, opset: int, where: str) -> str:
    model, _ = build(rule, sample, opset)
    for node in model.graph:
        for found in compiled(rule).find(node):
            reason = refusal(rule, Match(found.bindings, opset), node)
            if reason is None:
                raise RefutedError(f"{where}: accepted what it must refuse ({sample.reason})")
            if sample.reason not in reason:
                raise RefutedError(f"{where}: refused because {reason!r}, not {sample.reason!r}")
            return reason
    raise RefutedError(f"{where}: its pattern does not match the sample that it must refuse")


@dataclass(frozen=True)
class _Rewritten:
    """A sample's graph after the rule: what computes it, its arguments, and the graph that it replaces."""

    run: Runner
    original: ir.Model
    feeds: Mapping[str, Array]

    def truths(self) -> list[Array]:
        return interpret(self.original, {k: _widened(v) for k, v in self.feeds.items()})

    def results(self) -> list[Array]:
        return self.run({v.name or "": self.feeds[v.name or ""] for v in self.original.graph.inputs})


def _rewritten(rule: type[Rule], sample: Sample, opset: int, where: str, guards: set[str]) -> _Rewritten:
    model, feeds = build(rule, sample, opset)
    original, _ = build(rule, sample, opset)
    for node in model.graph:
        for found in compiled(rule).find(node):
            guards.update(reason for _, reason in rule.require(Match(found.bindings, opset)))
    fired = len(apply_rules(model, [rule], opset=opset).firings)
    if fired != sample.fires:
        raise RefutedError(f"{where}: fired {fired} times, not {sample.fires}")
    left = {n.domain for n in model.graph} - rule.stage.domains
    if left:
        raise RefutedError(f"{where}: leaves ops of {sorted(left)} behind")
    try:
        return _Rewritten(load(model), original, feeds)
    except REFUSALS as error:
        raise RefutedError(f"{where}: {error}") from error


def _check_failure(rewritten: _Rewritten, where: str) -> None:
    try:
        rewritten.truths()
    except ERRORS:
        pass
    else:
        raise RefutedError(f"{where}: the meaning does not fail, as the sample says")
    try:
        rewritten.results()
    except (*ERRORS, *REFUSALS):
        return
    raise RefutedError(f"{where}: gives a result where the meaning is an error")


def _check_values(claim: Claim, rewritten: _Rewritten, where: str) -> tuple[float, bool]:
    """The largest error, and whether the claim tells these results from zeros."""
    largest, telling = 0.0, False
    truths = rewritten.truths()
    try:
        results = rewritten.results()
    except (*REFUSALS, *ERRORS) as error:
        raise RefutedError(f"{where}: {error}") from error
    for output, result, truth in zip(rewritten.original.graph.outputs, results, truths, strict=True):
        declared = output.dtype.numpy() if output.dtype is not None else result.dtype
        if result.dtype != declared:
            raise RefutedError(f"{where}: dtype {result.dtype} stands where {declared} should")
        breach = claim.breach(result, truth)
        if breach is not None:
            raise RefutedError(f"{where}: {breach}")
        telling = telling or claim.breach(np.zeros_like(result), truth) is not None
        finite = np.isfinite(truth)
        if finite.any():
            largest = max(largest, float(np.abs(result[finite].astype(np.float64) - truth[finite]).max()))
    return largest, telling


def _widened(value: Array) -> Array:
    return value.astype(np.float64) if value.dtype.kind == "f" else value
