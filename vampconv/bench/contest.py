"""A part of the work, done by all in turn: each in a process of its own."""

from __future__ import annotations

import json
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from vampconv.bench.agreement import agreement
from vampconv.bench.contestant import Spec
from vampconv.bench.process import ContestantError, Run, measure
from vampconv.bench.result import (
    EXPORTER,
    FLOOR,
    OURS,
    QUANTISED,
    REFERENCE,
    Column,
    Contest,
    Entry,
    Point,
)
from vampconv.bench.rival import Rival
from vampconv.bench.turns import Outcome, take_turns
from vampconv.runtime.bundle import Bundle

LENGTHS = (1.0, 3.0, 10.0, 30.0, 60.0)
"""Seconds of audio of the plot."""
WARM_UP = 2.0
"""Seconds of audio that the codec runs on before the others, which may take ten seconds each."""
LONGEST = 30.0
"""Seconds: a run that would take longer is left out of the plot."""
SHORT = 1.0
"""Seconds: runs that take less are repeated for the plot."""
REPEATS = 3

TRANSFORMERS = ("coarse", "c2f")
Key = tuple[str, str]
"""Who, and of which column."""


class Contestant(Protocol):
    """What can be run on audio of any length."""

    def run(self, seconds: float, /) -> Run:
        """One run on so much audio."""


@dataclass
class Setting:
    """What all contests share.

    Parameters
    ----------
    folder
        To work in.
    columns
        The bundles.
    paths
        The checkpoints of the first, by their labels in its manifest; empty where no rival needs them.
    against
        The rivals.
    seconds
        Of audio.
    rounds, budget
        How often each runs, and the seconds after which a part begins no further round.
    threads
        Of each.
    steps
        Of a vamp's coarse model.
    sweep
        Whether to run at other lengths, too.
    tell
        Told what is going on.

    """

    folder: Path
    columns: Sequence[Column]
    paths: Mapping[str, Path]
    against: Sequence[str]
    seconds: float
    rounds: int
    budget: float
    threads: int
    steps: int
    sweep: bool
    tell: Callable[[str], None]
    exports: dict[str, Outcome] = field(default_factory=dict)

    def exported(self, part: str, who: str = EXPORTER) -> tuple[Outcome, Path]:
        """What the exporter made of a part, or what ONNX Runtime makes of that in 8 bits; it is done once."""
        output = self.folder / f"{part}.{who}.onnx"
        if output.name not in self.exports:
            before = self.exported(part) if who == QUANTISED else None
            self.tell(f"{part}: making that of {who}")
            self.exports[output.name] = self._export(part, output, before)
        return self.exports[output.name], output

    def _export(self, part: str, output: Path, before: tuple[Outcome, Path] | None) -> Outcome:
        if before is not None and before[0].failure is not None:
            return before[0]
        paths = json.dumps({label: str(path) for label, path in self.paths.items()})
        arguments = [str(self.columns[0].directory), paths, part] if before is None else [str(before[1])]
        module = "vampconv.bench.export" if before is None else "vampconv.bench.quantise"
        command = [sys.executable, "-m", module, *arguments, str(output)]
        return take_turns({"": lambda: measure(command)}, 1)[""]

    def spec(self, who: str, part: str, column: Column | None = None) -> Spec:
        """Of a contestant that serves runs; a rival has the checkpoints of the first column."""
        directory = str((column or self.columns[0]).directory)
        paths = {label: str(path) for label, path in self.paths.items()} if who == REFERENCE else {}
        exporter = who in (EXPORTER, QUANTISED)
        model = str(self.exported(part, who)[1]) if exporter else ""
        return Spec(EXPORTER if exporter else who, part, directory, self.threads, model, paths, self.steps)


def of_part(setting: Setting, part: str) -> tuple[Contest, list[Point]]:
    """One model of the bundles, next to the rivals and to its products alone."""
    seconds, failed = length_of(setting, part), {}
    specs: dict[Key, Spec] = {}
    for who in setting.against:
        if who == QUANTISED and part not in TRANSFORMERS:
            continue
        made = setting.exported(part, who)[0] if who in (EXPORTER, QUANTISED) else Outcome()
        if made.failure is not None:
            failed[who, ""] = Outcome(failure=made.failure)
        else:
            specs[who, ""] = setting.spec(who, part)
    for column in different(setting.columns, part):
        for who in (OURS, FLOOR):
            specs[who, column.label] = setting.spec(who, part, column)
    with ExitStack() as stack:
        rivals = {key: stack.enter_context(Rival(spec.command())) for key, spec in specs.items()}
        warm_up = seconds if part in TRANSFORMERS else min(seconds, WARM_UP)
        outcomes = compete(setting, part, rivals, seconds, warm_up)
        whole = {key: rival for key, rival in rivals.items() if key[0] != FLOOR}
        figures = compare(setting.folder, part, whole, outcomes)
        points = sweep(setting, part, whole, outcomes) if setting.sweep else []
    outcomes = {**failed, **outcomes}
    entries = [Entry(*key, outcome, figures.get(key, {})) for key, outcome in outcomes.items()]
    return Contest(part, seconds, entries), points


def length_of(setting: Setting, part: str) -> float:
    """Seconds of audio that a part runs on at a time: of a transformer no more than its chunk."""
    if part not in TRANSFORMERS:
        return setting.seconds
    return min(setting.seconds, Bundle(setting.columns[0].directory).chunk_seconds(part))


def different(columns: Sequence[Column], part: str) -> list[Column]:
    """The columns that have a part, without those of which another before has the very same files of it."""
    found: dict[tuple[str, ...], Column] = {}
    for column in columns:
        bundle = Bundle(column.directory)
        if part in bundle:
            found.setdefault(tuple(sorted(sha for _, sha in bundle.files(part).values())), column)
    return list(found.values())


def compete(
    setting: Setting,
    part: str,
    contestants: Mapping[Key, Contestant],
    seconds: float,
    warm_up: float,
) -> dict[Key, Outcome]:
    """Rounds, after a run of each on `warm_up` seconds of audio that does not count."""
    names = {key: ", ".join(filter(None, key)) for key in contestants}

    def turn(key: Key, what: str, length: float) -> Run:
        setting.tell(f"{part}: {what}: {names[key]}")
        return contestants[key].run(length)

    warming = {names[k]: partial(turn, k, "warming up", warm_up) for k in contestants}
    warm = take_turns(warming, 1)
    fit = {k: partial(turn, k, "running", seconds) for k in contestants if warm[names[k]].failure is None}
    ran = take_turns({names[k]: run for k, run in fit.items()}, setting.rounds, budget=setting.budget)
    return {key: ran.get(name, warm[name]) for key, name in names.items()}


def compare(
    folder: Path, part: str, rivals: Mapping[Key, Rival], outcomes: Mapping[Key, Outcome]
) -> dict[Key, dict[str, float]]:
    """How the last outputs agree with the reference's."""
    outputs = {}
    for number, (key, rival) in enumerate(rivals.items()):
        if outcomes[key].failure is None:
            outputs[key] = folder / f"output{number}.npy"
            rival.save(outputs[key])
    if (REFERENCE, "") not in outputs:
        return {}
    wanted = np.load(outputs[REFERENCE, ""])
    return {k: agreement(part, np.load(path), wanted) for k, path in outputs.items() if k[0] != REFERENCE}


def sweep(
    setting: Setting, part: str, contestants: Mapping[Key, Contestant], outcomes: Mapping[Key, Outcome]
) -> list[Point]:
    """Runs at other lengths; one that would take too long is left out, and all that are longer."""
    points = []
    fit = {key: c for key, c in contestants.items() if outcomes[key].failure is None}
    for key, contestant in fit.items():
        last = (LENGTHS[0], 0.0)
        for seconds in LENGTHS:
            setting.tell(f"{part}: {seconds:g} s of audio: {', '.join(filter(None, key))}")
            expected = last[1] * seconds / last[0]
            if expected > LONGEST:
                break
            try:
                taken = _repeated(contestant, seconds)
            except ContestantError:
                break
            last = seconds, taken
            points.append(Point(part, *key, seconds, taken))
    return points


def _repeated(contestant: Contestant, seconds: float) -> float:
    """Seconds of a run, or the median of some where they are short; the first of these does not count."""
    first = contestant.run(seconds).seconds
    if first > SHORT:
        return first
    return statistics.median(contestant.run(seconds).seconds for _ in range(REPEATS))
