"""What every report tells: the worst of each value and module, failures in order, totals in a line."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from vampconv.verify.report.text import count, error, index, number, ratio
from vampconv.verify.result import (
    Comparison,
    Coverage,
    Explained,
    Fault,
    HeadRoom,
    NonFinite,
    PartResult,
    Sound,
    Tokens,
    Verdict,
    Verification,
    WeightCheck,
    worst,
)

TOP = 20
"""As many failures or modules as are shown at once."""
DIGITS = 9
"""Enough to tell two float32 apart."""
FLOAT16_LARGEST = 65504.0
TOLD = {"weights", "faults"}
"""Aspects whose failures are told of one by one."""
ROOT = "(model)"
"""Name of the module whose path is empty."""


@dataclass(frozen=True)
class Failure:
    """One reason why a verification fails; `part` is empty where it is the whole bundle's."""

    part: str
    where: str
    message: str
    is_value: bool = False


def gravity(c: Comparison) -> tuple[int, float]:
    """What comparisons are ordered by: verdict, then ratio; a problem or a NaN is beyond any ratio."""
    beyond = bool(c.problem) or math.isnan(c.ratio)
    return list(Verdict).index(c.verdict), math.inf if beyond else c.ratio


def worst_by(comparisons: Iterable[Comparison], key: Callable[[Comparison], str]) -> dict[str, Comparison]:
    """The gravest comparison of each value or module, in the order of the graph."""
    groups: dict[str, list[Comparison]] = defaultdict(list)
    for c in comparisons:
        groups[key(c)].append(c)
    return {name: max(group, key=gravity) for name, group in groups.items()}


def by_value(part: PartResult) -> list[Comparison]:
    """The gravest comparison of each value over all cases, in the order of the graph."""
    return list(worst_by(part.comparisons, lambda c: c.value).values())


def by_module(part: PartResult) -> list[tuple[str, Comparison]]:
    """Every module with its gravest comparison, in the order of the graph."""
    return [(name or ROOT, c) for name, c in worst_by(part.comparisons, lambda c: c.module).items()]


def tell(c: Comparison) -> str:
    """A comparison in one line: what is wrong, by how much, where, and in which run."""
    told = f"{c.problem}; " if c.problem else ""
    told += f"error {error(c.error_ort)}, bound {error(c.bound)}, ratio {ratio(c.ratio)}"
    told += f", torch float32 {error(c.error_torch)}" if c.error_torch is not None else ""
    if c.worst_index:
        found, truth = number(c.worst_found, DIGITS), number(c.worst_truth, DIGITS)
        told += f"; worst at {index(c.worst_index)}: {found} instead of {truth}"
    return f"{told}; {c.case}"


def where(c: Comparison) -> str:
    """A value and what it stands for."""
    other = c.stands_for or f"inside {c.module or ROOT}"
    return c.value if other in {c.value, "."} else f"{c.value} ({other})"


def tell_weight(w: WeightCheck) -> str:
    """A weight in one line."""
    told = f"{w.problem}; " if w.problem else ""
    sources = f", from {', '.join(w.sources)}" if w.sources else ""
    return f"{told}{count(w.ulps, 'ulp')} from its recomputation{sources}"


def tell_tokens(t: Tokens) -> str:
    """Agreement of tokens in one line."""
    told = f"{count(t.positions, 'position')}: {t.equal:,} EQUAL, {t.ties:,} TIE, {t.real:,} REAL"
    return told if t.kl is None else f"{told}; Kullback-Leibler divergence {number(t.kl)} nats"


def tell_accuracy(t: Tokens) -> str:
    """How near the distributions are, in one line."""
    agreement = (t.equal + t.ties) / t.positions
    told = f"{agreement:.2%} of {count(t.positions, 'token')} agree"
    return told if t.kl is None else f"{told}, mean divergence {number(t.kl)} nats"


def tell_coverage(c: Coverage) -> str:
    """Coverage in one line."""
    return (
        f"{c.values_compared:,} of {count(c.values, 'value')} compared, {len(c.values_explained):,} explained; "
        f"{c.calls_compared:,} of {count(c.calls, 'module call')} compared, {len(c.calls_explained):,} explained; "
        f"{len(c.unaccounted):,} unaccounted for"
    )


def tell_fault(f: Fault) -> str:
    """A fault in one line."""
    told = f"wrong by {error(f.error)} although its inputs are right; {f.cause or 'its cause was not found'}"
    told += f"; rules: {', '.join(f.rules)}" if f.rules else ""
    return f"{told}; reproduction: {f.repro}" if f.repro else told


def tell_non_finite(n: NonFinite) -> str:
    """The producer of a NaN or an infinity in one line."""
    return f"{n.value} in {n.module or ROOT} is the first that is not finite: {n.side} ({n.case})"


def tell_sound(sound: Sound) -> str:
    """How far the sound of ONNX Runtime is from the reference's, in one line."""
    difference = error(sound.largest_difference)
    return f"{sound.part}, {number(sound.snr_db)} dB signal to noise, largest difference {difference}"


def tell_head_room(rooms: Sequence[HeadRoom]) -> str:
    """The largest magnitude of a part beside what float16 can hold, in one line."""
    largest = rooms[0]
    share = largest.largest / FLOAT16_LARGEST
    beyond = sum(not room.largest <= FLOAT16_LARGEST for room in rooms)
    told = f"the largest magnitude is {number(largest.largest)}, in {largest.module or ROOT}: "
    told += f"{number(100 * share)} % of what float16 can hold"
    return f"{told}; {count(beyond, 'value')} beyond it" if beyond else told


def part_verdict(part: PartResult) -> Verdict:
    """The verdict of a part; it fails, too, where a record fails that no problem tells of."""
    return Verdict.FAIL if part_failures(part) else part.verdict


def verdict(verification: Verification) -> Verdict:
    """The verdict of the whole."""
    if failures(verification):
        return Verdict.FAIL
    return worst([verification.verdict, *map(part_verdict, verification.parts)])


def failures(verification: Verification) -> list[Failure]:
    """All failures, worst first: of the bundle, then problems, weights and values by what they are off."""
    found = [Failure("", "", problem) for problem in verification.problems]
    if not verification.parts:
        found.append(Failure("", "", "nothing was verified"))
    ranked = [entry for part in verification.parts for entry in part_failures(part)]
    ranked.sort(key=lambda entry: entry[0], reverse=True)
    return found + [failure for _, failure in ranked]


Rank = tuple[int, float]


def part_failures(part: PartResult) -> list[tuple[Rank, Failure]]:
    """The failures of a part, each with its rank."""
    told = part.problems or _untold(part)
    found: list[tuple[Rank, Failure]] = [((2, 0.0), Failure(part.part, "", problem)) for problem in told]
    for w in part.weights:
        if w.verdict is Verdict.FAIL:
            off = math.inf if w.problem else float(w.ulps)
            found.append(((1, off), Failure(part.part, f"{w.file}:{w.name}", tell_weight(w))))
    bad = [c for c in by_value(part) if c.verdict is Verdict.FAIL]
    found += [((0, gravity(c)[1]), Failure(part.part, where(c), tell(c), is_value=True)) for c in bad]
    return found or [((2, 0.0), Failure(part.part, f.value, tell_fault(f))) for f in part.faults]


def aspects(part: PartResult) -> dict[str, list[str] | None]:
    """What fails of each aspect that belongs to no single value; None where nobody looked at it."""
    coverage, tokens = part.coverage, part.tokens
    lost = coverage.unaccounted if coverage else ()
    one_sided = [n for n in part.non_finite if not _is_matched(n, part.non_finite)]
    weights = [w for w in part.weights if w.verdict is Verdict.FAIL]
    return {
        "coverage": [f"unaccounted for: {shortened(lost)}"] * bool(lost) if coverage else None,
        "tokens": part.beyond() if tokens else None,
        "weights": [f"{w.file}:{w.name}: {tell_weight(w)}" for w in weights] if part.weights else None,
        "loops": [f"{x.file}: {x.problem}" for x in part.loops if x.problem] if part.loops else None,
        "taps": None if part.taps_agree is None else ["outputs change when tapped"] * (not part.taps_agree),
        "non-finite": [tell_non_finite(n) for n in one_sided],
        "faults": [f"{f.value}: {tell_fault(f)}" for f in part.faults],
    }


def _is_matched(n: NonFinite, others: Iterable[NonFinite]) -> bool:
    """Whether both the reference and the graph make something that is not finite at this value."""
    here = {other.side for other in others if (other.value, other.case) == (n.value, n.case)}
    return n.side not in {"graph", "reference"} or {"graph", "reference"} <= here


def is_empty(part: PartResult) -> bool:
    """Whether nothing at all was compared."""
    return not (part.comparisons or part.weights or part.tokens or part.sounds)


def _untold(part: PartResult) -> list[str]:
    """Failures that the records show, of a part that tells of none."""
    told = [line for name, lines in aspects(part).items() if name not in TOLD for line in lines or ()]
    return ["nothing was compared"] * is_empty(part) + told


def shortened(names: Sequence[str], most: int = TOP) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def by_reason(explained: Iterable[Explained]) -> list[tuple[str, list[str]]]:
    """Names grouped by their reason, the largest group first."""
    groups: dict[str, list[str]] = defaultdict(list)
    for e in explained:
        groups[e.reason].append(e.name)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def headline(verification: Verification) -> str:
    """The whole result in one sentence."""
    parts = verification.parts
    if not parts:
        return "Nothing was verified."
    values = [c.verdict for part in parts for c in by_value(part)]
    weights = [w.verdict for part in parts for w in part.weights]
    scope = (
        f"{count(len(values), 'value')} and {count(len(weights), 'weight')} of {count(len(parts), 'part')}"
    )
    match verdict(verification):
        case Verdict.PASS:
            return f"{scope}: all are within their bounds."
        case Verdict.WARN:
            beyond = [*values, *weights].count(Verdict.WARN)
            return f"{scope}: {beyond:,} beyond the bound, by no more than four times."
    failing = sum(part_verdict(part) is Verdict.FAIL for part in parts)
    scope = f" in {failing:,} of {count(len(parts), 'part')}" if failing and len(parts) > 1 else ""
    bad, wrong = values.count(Verdict.FAIL), weights.count(Verdict.FAIL)
    others = len(failures(verification)) - bad - wrong
    told = [f"{bad:,} of {count(len(values), 'value')}"] * bool(bad)
    told += [f"{wrong:,} of {count(len(weights), 'weight')}"] * bool(wrong)
    told += [count(others, "further check" if told else "check")] * bool(others)
    return f"Failing{scope}: {', '.join(told)}.{_first_fault(parts)}"


def _first_fault(parts: Sequence[PartResult]) -> str:
    """The first layer that is wrong by itself, in a sentence."""
    for part in parts:
        for fault in part.faults:
            rules = f", by {' or '.join(fault.rules)}" if fault.proven and fault.rules else ""
            return f" First at fault: {part.part}, {fault.module or ROOT}{rules}."
    return ""
