"""Contestants that take turns, and what their times say: medians, quartiles, ratios."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from vampconv.bench.process import ContestantError, Run


@dataclass(frozen=True)
class Spread:
    """The median and the quartiles of some numbers, and how many there are."""

    median: float
    low: float
    high: float
    count: int

    @classmethod
    def of(cls, numbers: Sequence[float]) -> Spread:
        """Of at least one number."""
        if len(numbers) == 1:
            return cls(numbers[0], numbers[0], numbers[0], 1)
        low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
        return cls(median, low, high, len(numbers))


@dataclass
class Outcome:
    """The runs of one contestant, by round; after a failure there are none."""

    runs: list[Run] = field(default_factory=list)
    failure: str | None = None

    @property
    def seconds(self) -> Spread | None:
        """Of all runs."""
        return Spread.of([run.seconds for run in self.runs]) if self.runs else None

    @property
    def peak_bytes(self) -> int:
        """The largest of all runs."""
        return max((run.peak_bytes for run in self.runs), default=0)

    def over(self, other: Outcome) -> Spread | None:
        """Ratios of runs of the same round, so that a machine's drift cancels."""
        pairs = list(zip(self.runs, other.runs, strict=False))
        return Spread.of([a.seconds / b.seconds for a, b in pairs]) if pairs else None


def take_turns(
    contestants: Mapping[str, Callable[[], Run]],
    rounds: int,
    *,
    budget: float = float("inf"),
    between: Callable[[], object] = lambda: None,
) -> dict[str, Outcome]:
    """Run all in turn, round after round; who fails is left out from then on.

    Parameters
    ----------
    contestants
        What each does in its turn.
    rounds
        How often.
    budget
        Seconds: a round that would end later, if it takes as long as the last one, does not begin.
    between
        Called after each run.

    """
    outcomes = {name: Outcome() for name in contestants}
    start = began = time.perf_counter()
    for turn in range(rounds):
        now = time.perf_counter()
        if turn and now - start + (now - began) > budget:
            break
        began = now
        for name, contestant in contestants.items():
            if outcomes[name].failure is not None:
                continue
            try:
                outcomes[name].runs.append(contestant())
            except ContestantError as error:
                outcomes[name].failure = str(error)
            between()
    return outcomes
