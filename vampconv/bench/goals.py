"""What is to be reached at full size, on ten seconds of audio, and whether it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vampconv.bench.result import EXPORTER, FLOOR, HALF, OURS, REFERENCE, Bench, Contest, Entry

SECONDS = 10.0
TIME, MEMORY = "seconds", "peak_bytes"


@dataclass(frozen=True)
class Goal:
    """A bound on a figure of ours.

    Parameters
    ----------
    part
        Of the work.
    precision
        Of the bundles that it is for; empty for all.
    figure
        `TIME` or `MEMORY`.
    over
        What it is divided by: the same figure of another contestant; empty for the figure itself.
    limit
        The bound: a ratio, seconds or bytes.

    """

    part: str
    precision: str
    figure: str
    over: str
    limit: float

    def __str__(self) -> str:
        what = "peak memory" if self.figure == MEMORY else "time"
        if self.over:
            return f"{what} ≤ {self.limit:g} × {WORDS[self.over]}"
        unit = f"{self.limit / 1e6:,.0f} MB" if self.figure == MEMORY else f"{self.limit:g} s"
        return f"{what} ≤ {unit}"


WORDS = {
    EXPORTER: "the exporter's (fp32)",
    REFERENCE: "PyTorch's",
    FLOOR: "its products alone",
    HALF: "that of half the layers",
}

GOALS = (
    Goal("convert", "fp32", TIME, "", 5.0),
    Goal("convert", "", MEMORY, "", 500e6),
    Goal("convert", "fp32", MEMORY, HALF, 1.1),
    Goal("coarse", "fp32", TIME, EXPORTER, 0.85),
    Goal("coarse", "fp32", TIME, FLOOR, 1.1),
    Goal("coarse", "int8", TIME, EXPORTER, 0.36),
    Goal("decoder", "fp32", TIME, EXPORTER, 0.6),
    Goal("encoder", "fp32", TIME, EXPORTER, 0.6),
    Goal("vamp", "", TIME, "", 10.0),
    Goal("vamp", "", TIME, REFERENCE, 0.16),
    Goal("vamp", "", MEMORY, "", 2.5e9),
)


@dataclass(frozen=True)
class Judged:
    """A goal, and what was found."""

    goal: Goal
    label: str
    """Of the column."""
    measured: float

    @property
    def reached(self) -> bool:
        """Whether it is."""
        return self.measured <= self.goal.limit

    @property
    def share(self) -> float:
        """What was measured over the bound."""
        return self.measured / self.goal.limit

    def __str__(self) -> str:
        if self.reached:
            return "reached"
        return f"missed by {self.share - 1:.1%}" if self.share < 2 else f"missed {self.share:.1f}-fold"


def judge(bench: Bench) -> list[Judged]:
    """All goals that say something of what was measured: none of small models, or of other lengths."""
    return [judged for goal in GOALS for contest in bench.contests for judged in _judge(bench, goal, contest)]


def _judge(bench: Bench, goal: Goal, contest: Contest) -> Iterator[Judged]:
    if contest.part != goal.part or contest.seconds not in (None, SECONDS):
        return
    columns = {c.label: c for c in bench.columns}
    for entry in contest.entries:
        if entry.who != OURS or not entry.outcome.runs:
            continue
        column = columns[entry.label]
        models = ("encoder", "coarse", "c2f", "decoder") if goal.part == "vamp" else (goal.part,)
        models = ("coarse",) if goal.part == "convert" else models
        fits = goal.precision in ("", column.precision)
        if not fits or not column.full_size.issuperset(models):
            continue
        measured = _figure(goal, entry, _other(goal, contest, entry))
        if measured is not None:
            yield Judged(goal, entry.label, measured)


def _other(goal: Goal, contest: Contest, entry: Entry) -> Entry | None:
    """What a figure is divided by."""
    return contest.find(goal.over, entry.label if goal.over in (FLOOR, HALF) else "")


def _figure(goal: Goal, entry: Entry, other: Entry | None) -> float | None:
    """The figure, or None where that of the other is not known."""
    if not goal.over:
        found = entry.outcome.seconds
        assert found is not None
        return found.median if goal.figure == TIME else float(entry.outcome.peak_bytes)
    if other is None or not other.outcome.runs:
        return None
    if goal.figure == MEMORY:
        return entry.outcome.peak_bytes / other.outcome.peak_bytes
    ratio = entry.outcome.over(other.outcome)
    return None if ratio is None else ratio.median
