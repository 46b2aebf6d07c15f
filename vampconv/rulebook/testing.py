"""Audits rules one after another, and says of each whether its evidence bears it out."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from vampconv.errors import PluginError, VampconvError
from vampconv.rewrite import Rule
from vampconv.rewrite.audit import RefutedError, Verdict, audit


@dataclass(frozen=True)
class TestResult:
    """How the audit of a rule went; `refuted` is why it is not borne out, or empty."""

    rule: str
    claim: str
    seconds: float
    compared: int = 0
    refused: int = 0
    failed: int = 0
    largest_error: float = 0.0
    refuted: str = ""

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def test_rules(rules: Iterable[type[Rule]]) -> Iterator[TestResult]:
    """Audit each rule; a refuted one does not stop the others."""
    for rule in rules:
        start = time.perf_counter()
        try:
            verdict = _audited(rule)
        except (RefutedError, VampconvError) as error:
            reason = error.problem if isinstance(error, VampconvError) else str(error)
            yield TestResult(
                rule.__name__, str(rule.claim), time.perf_counter() - start, refuted=" ".join(reason.split())
            )
        else:
            seconds = time.perf_counter() - start
            yield TestResult(rule.__name__, str(rule.claim), seconds, **asdict(verdict))


def _audited(rule: type[Rule]) -> Verdict:
    try:
        return audit(rule)
    except (RefutedError, VampconvError):
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"{rule.__name__}: its code raised {type(error).__name__}: {error}", "mend the rule"
        ) from error


def refuted(results: Iterable[TestResult]) -> PluginError | None:
    """The error to end with, if a rule was refuted."""
    wrong = [r for r in results if r.refuted]
    if not wrong:
        return None
    more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
    return PluginError(f"{wrong[0].rule} is refuted{more}: {wrong[0].refuted}", "mend the rule, or its claim")
