"""The audit: a rule's samples, computed by definition and by the rewritten graph in ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vampconv.dialect import DOMAIN
from vampconv.dialect.op import Array
from vampconv.errors import PluginError
from vampconv.rewrite.claim import Claim
from vampconv.rewrite.engine import apply_rules, compiled, refusal
from vampconv.rewrite.evidence import Draw, Fails, Refused, Sample
from vampconv.rewrite.execute import REFUSALS, Runner, interpret, load
from vampconv.rewrite.match import Match
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.sample_graph import build, ways_of

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
                    ways = _ways(rule, sample, at, everything=seed == index == 0)
                    rewritten = [_rewritten(rule, sample, at, where, guards, way) for way in ways]
                    if isinstance(sample, Fails):
                        failed += _check_failures(rewritten, where)
                        continue
                    errors = [_check_values(rule.claim, r, where) for r in rewritten]
                    compared += len(errors)
                    largest = max([largest, *(error for error, _ in errors)])
                    telling = telling or any(tells for _, tells in errors)
                except PluginError as error:
                    raise RefutedError(f"{where}: {error}") from error
    if compared == 0:
        raise RefutedError(f"{rule.__name__} brings no sample that can be compared")
    if not telling:
        raise RefutedError(f"{rule.__name__}: zeros would pass its claim {rule.claim} on every sample")
    if guards - declined:
        raise RefutedError(f"{rule.__name__} brings no sample for its guard {min(guards - declined)!r}")
    return Verdict(compared, failed, refused, largest)


def _ways(rule: type[Rule], sample: Sample, opset: int, *, everything: bool) -> list[tuple[int, ...]]:
    """In which ways of writing ``before`` to look at a sample: in all of them, or in one."""
    ways = ways_of(rule, sample, opset)
    return ways if everything else ways[-1:]


def _check_refusal(rule: type[Rule], sample: Refused, opset: int, where: str) -> str:
    ways = next(iter(ways_of(rule, sample, opset)), ())
    model, _ = build(rule, sample, opset, ways)
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
        constants = self.original.graph.initializers.items()
        written = {n: v.const_value.numpy() for n, v in constants if v.const_value is not None}
        with np.errstate(all="ignore"):
            return interpret(self.original, {k: _widened(v) for k, v in {**written, **self.feeds}.items()})

    def results(self) -> list[Array]:
        return self.run({v.name or "": self.feeds[v.name or ""] for v in self.original.graph.inputs})


def _rewritten(
    rule: type[Rule], sample: Sample, opset: int, where: str, guards: set[str], ways: tuple[int, ...]
) -> _Rewritten:
    model, feeds = build(rule, sample, opset, ways)
    original, _ = build(rule, sample, opset, ways)
    for node in model.graph:
        for found in compiled(rule).find(node):
            guards.update(reason for _, reason in rule.require(Match(found.bindings, opset)))
    target, precision = rule.target or "portable", rule.precision or "fp32"
    fired = len(apply_rules(model, [rule], opset=opset, target=target, precision=precision).firings)
    if fired != sample.fires:
        raise RefutedError(f"{where}: fired {fired} times, not {sample.fires}")
    domains = {n.domain for n in model.graph}
    left = domains - rule.stage.domains if rule.target is None else domains & {DOMAIN} - rule.stage.domains
    if left:
        raise RefutedError(f"{where}: leaves ops of {sorted(left)} behind")
    try:
        return _Rewritten(load(model), original, feeds)
    except REFUSALS as error:
        raise RefutedError(f"{where}: {error}") from error


def _check_failures(rewritten: Iterable[_Rewritten], where: str) -> int:
    return sum(_check_failure(r, where) for r in rewritten)


def _check_failure(rewritten: _Rewritten, where: str) -> bool:
    try:
        rewritten.truths()
    except ERRORS:
        pass
    else:
        raise RefutedError(f"{where}: the meaning does not fail, as the sample says")
    try:
        rewritten.results()
    except (*ERRORS, *REFUSALS):
        return True
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
