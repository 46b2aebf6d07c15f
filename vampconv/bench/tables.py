"""A benchmark as tables."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Any

from rich.markup import escape
from rich.table import Table

from vampconv.bench.agreement import told
from vampconv.bench.as_json import ratios
from vampconv.bench.goals import MEMORY, Judged, judge
from vampconv.bench.result import COPY, EXPORTER, FLOOR, QUANTISED, REFERENCE, Bench, Contest, Entry
from vampconv.bench.turns import Spread

TITLES = {
    "convert": "conversion of the coarse model, whole processes",
    "vamp": "a vamp from audio to audio; ours a whole process, PyTorch with its models loaded",
}
OVER = {EXPORTER: "exporter", QUANTISED: "exporter int8", REFERENCE: "PyTorch", COPY: "cp", FLOOR: "products"}
MEGABYTE = 1e6


def show(console: Any, bench: Bench) -> None:
    """Print a table for each contest, and the goals."""
    facts = bench.environment
    console.print(
        escape(
            f"{facts['processor']}, {facts['threads']} threads, torch {facts['torch']}, "
            f"onnxruntime {facts['onnxruntime']}; medians, with quartiles where there are three runs or more"
        )
    )
    for contest in bench.contests:
        console.print(contest_table(contest))
    judged = judge(bench)
    if judged:
        console.print(goal_table(judged))
    for note in bench.notes:
        console.print(f"note: {escape(note)}")


def system() -> str:
    """Machine and versions, for the title of a table."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "onnxruntime"))
    return f"{platform.machine()}, {versions}"


def contest_table(contest: Contest) -> Table:
    """One row for each contestant: seconds, ratios, memory, and how its output agrees."""
    audio = "" if contest.seconds is None else f", {contest.seconds:g} s of audio"
    title = f"{TITLES.get(contest.part, contest.part)}{audio}"
    found = {who for entry in contest.entries for who in ratios(contest, entry)}
    over = {who: f"× {name}" for who, name in OVER.items() if who in found}
    last = {"convert": (), "vamp": ("of it",)}.get(contest.part, ("agrees with PyTorch",))
    heads = ("", "runs", "seconds", "CPU s", *over.values(), "peak MB", *last)
    table = Table(*heads, title=title, title_justify="left")
    for entry in contest.entries:
        table.add_row(*_row(contest, entry, list(over))[: len(heads)])
    return table


def _row(contest: Contest, entry: Entry, over: list[str]) -> list[str]:
    name, outcome = escape(entry.name), entry.outcome
    if outcome.failure is not None or outcome.seconds is None:
        return [name, str(len(outcome.runs)), f"failed: {escape(outcome.failure or '')}"]
    busy = Spread.of([run.cpu_seconds for run in outcome.runs])
    found = ratios(contest, entry)
    cells = [spread(found[who], 2) if who in found else "" for who in over]
    peak = "" if entry.who == FLOOR else f"{outcome.peak_bytes / MEGABYTE:.0f}"
    row = [name, str(len(outcome.runs)), spread(outcome.seconds), f"{busy.median:.3g}", *cells, peak]
    parts = outcome.runs[-1].parts
    return [*row, ", ".join(f"{n} {s:.2f} s" for n, s in parts.items()) or told(entry.agreement)]


def spread(found: Spread, digits: int | None = None) -> str:
    """The median, and the quartiles where they say something."""
    form = "{:.3g}" if digits is None else f"{{:.{digits}f}}"
    if found.count < 3:
        return form.format(found.median)
    return f"{form.format(found.median)} ({form.format(found.low)}–{form.format(found.high)})"


def goal_table(judged: list[Judged]) -> Table:
    """One row for each goal."""
    table = Table("work", "bundle", "goal", "measured", "", title="goals", title_justify="left")
    for j in judged:
        figure = f"{j.measured:.3g}"
        if not j.goal.over:
            figure = f"{j.measured / MEGABYTE:,.0f} MB" if j.goal.figure == MEMORY else f"{j.measured:.2f} s"
        table.add_row(j.goal.part, escape(j.label), str(j.goal), figure, str(j))
    return table
