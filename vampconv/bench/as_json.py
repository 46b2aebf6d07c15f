"""A benchmark as JSON; ``bench.schema.json`` describes it."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from vampconv.bench.goals import judge
from vampconv.bench.result import FLOOR, HALF, OURS, RIVALS, Bench, Contest, Entry
from vampconv.bench.turns import Spread

FORMAT = 1
SCHEMA = Path(__file__).with_name("bench.schema.json")


def as_json(bench: Bench) -> dict[str, Any]:
    """All of it as plain values: seconds, bytes, and ratios of ours to the rivals and to the floor."""
    return {
        "format": FORMAT,
        "environment": dict(bench.environment),
        "size": bench.size,
        "rounds": bench.rounds,
        "columns": [
            asdict(c) | {"directory": str(c.directory), "full_size": sorted(c.full_size)}
            for c in bench.columns
        ],
        "contests": [_contest(c) for c in bench.contests],
        "goals": [
            {
                "part": j.goal.part,
                "label": j.label,
                "figure": j.goal.figure,
                "over": j.goal.over or None,
                "limit": j.goal.limit,
                "measured": j.measured,
                "reached": j.reached,
                "told": f"{j.goal}: {j}",
            }
            for j in judge(bench)
        ],
        "lengths": [asdict(point) for point in bench.lengths],
        "sizes": [asdict(point) for point in bench.sizes],
        "notes": list(bench.notes),
    }


def ratios(contest: Contest, entry: Entry) -> dict[str, Spread]:
    """Of the times of ours to those of the rivals and to the floor, in the same round; of a rival there are none."""
    if entry.who not in (OURS, HALF):
        return {}
    others = {who: contest.find(who) for who in (*RIVALS, "cp")}
    others[FLOOR] = contest.find(FLOOR, entry.label)
    found = {who: entry.outcome.over(other.outcome) for who, other in others.items() if other}
    return {who: ratio for who, ratio in found.items() if ratio}


def _contest(contest: Contest) -> dict[str, Any]:
    return {
        "part": contest.part,
        "seconds_of_audio": contest.seconds,
        "entries": [_entry(contest, entry) for entry in contest.entries],
    }


def _entry(contest: Contest, entry: Entry) -> dict[str, Any]:
    outcome = entry.outcome
    busy = Spread.of([run.cpu_seconds for run in outcome.runs]) if outcome.runs else None
    return {
        "who": entry.who,
        "label": entry.label or None,
        "failure": outcome.failure,
        "runs": [asdict(run) | {"parts": dict(run.parts)} for run in outcome.runs],
        "seconds": outcome.seconds and asdict(outcome.seconds),
        "cpu_seconds": busy and asdict(busy),
        "peak_bytes": outcome.peak_bytes if outcome.runs else None,
        "ratios": {who: asdict(ratio) for who, ratio in ratios(contest, entry).items()},
        "agreement": dict(entry.agreement),
    }
