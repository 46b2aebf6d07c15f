"""What the suite prints and writes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from vampconv.bench.mutations.clean import CleanRun
from vampconv.bench.mutations.judge import Outcome
from vampconv.bench.mutations.suite import ATTRIBUTED, CAUGHT, LEAST, Tally, tally
from vampconv.verify.result import Verdict


def show(console: Console, outcomes: Sequence[Outcome]) -> None:
    """Print the counts by chapter, then what survived, what was misplaced, and what is no fault at all."""
    groups = dict.fromkeys(outcome.group for outcome in outcomes)
    table = Table("faults", "made", "equivalent", "caught", "attributed", "by weights", "s each")
    for column in table.columns[1:]:
        column.justify = "right"
    for group in groups:
        table.add_row(group, *_cells(tally([o for o in outcomes if o.group == group])))
    table.add_section()
    table.add_row("all", *_cells(tally(outcomes)), style="bold")
    console.print(table)
    for title, chosen in listed(outcomes).items():
        for outcome in chosen:
            told = f"in {', '.join(outcome.modules[:3])}: {outcome.told}; named {', '.join(outcome.blamed)}"
            console.print(f"[bold]{title}[/] {escape(f'{outcome} {told}')}", highlight=False)


def listed(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """Those to look at, by what is the matter with them."""
    real = [o for o in outcomes if not o.equivalent]
    return {
        "survived": [o for o in real if not o.caught],
        "misplaced": [o for o in real if o.caught and not o.attributed],
        "equivalent": [o for o in outcomes if o.equivalent and not o.caught],
        "equivalent, yet caught": [o for o in outcomes if o.equivalent and o.caught],
    }


def _cells(counts: Tally) -> Iterator[str]:
    yield from (str(counts.made), str(counts.equivalent))
    for count in (counts.caught, counts.attributed, counts.by_weights):
        yield f"{count} ({count / counts.real:.1%})" if counts.real else "-"
    yield f"{counts.seconds / max(counts.made, 1):.2f}"


def show_clean(console: Console, runs: Sequence[CleanRun]) -> None:
    """Print how many runs of models without a fault failed or warned, and which."""
    failed, warned = failures(runs), [run for run in runs if run.warned]
    console.print(
        f"{len(runs)} clean runs: {len(failed)} failed, {len(warned)} with warnings", highlight=False
    )
    for run in failed:
        console.print(f"[bold]false alarm[/] {escape(f'{run}: {run.told}')}", highlight=False)
    for run in warned:
        console.print(f"[bold]warning[/] {escape(f'{run}: {run.warned[0]}')}", highlight=False)


def failures(runs: Sequence[CleanRun]) -> list[CleanRun]:
    """False alarms."""
    return [run for run in runs if run.verdict is Verdict.FAIL]


def missed(outcomes: Sequence[Outcome], runs: Sequence[CleanRun], *, whole: bool) -> list[str]:
    """Which bars are missed; that of the number of mutants is held to a whole suite only."""
    counts, problems = tally(outcomes), []
    if whole and counts.real < LEAST:
        problems.append(f"only {counts.real} mutants, not {LEAST}")
    if counts.caught < CAUGHT * counts.real:
        problems.append(f"{counts.caught} of {counts.real} caught, which is less than {CAUGHT:.0%}")
    if counts.attributed < ATTRIBUTED * counts.real:
        problems.append(f"{counts.attributed} of {counts.real} attributed, less than {ATTRIBUTED:.0%}")
    if failures(runs):
        problems.append(f"{len(failures(runs))} false alarms")
    return problems


def as_json(outcomes: Sequence[Outcome], runs: Sequence[CleanRun]) -> str:
    """All outcomes and clean runs, with the counts."""
    counts = {"all": tally(outcomes)}
    counts |= {
        g: tally([o for o in outcomes if o.group == g]) for g in dict.fromkeys(o.group for o in outcomes)
    }
    content: Mapping[str, Any] = {
        "counts": {name: {**asdict(c), "real": c.real} for name, c in counts.items()},
        "mutants": [asdict(outcome) for outcome in outcomes],
        "clean": [asdict(replace(run, told=run.told[:500])) for run in runs],
    }
    return json.dumps(content, indent=1)
