"""A whole benchmark: models, contests, and the runs of other lengths and sizes."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from vampconv.bench.checkpoints import FULL, SMALL, Size
from vampconv.bench.contest import Setting, of_part
from vampconv.bench.making import SMALLER, Made, columns_of, convert_all, locate, make, parameters
from vampconv.bench.result import FLOOR, Bench, Column, Contest, Point
from vampconv.bench.whole import PARTS_OF_A_VAMP, of_conversion, of_vamp
from vampconv.errors import InputOutputError, UsageError
from vampconv.runtime.belonging import check_files
from vampconv.runtime.bundle import Bundle, find_bundle
from vampconv.runtime.session import processors

PARTS = ("convert", "coarse", "c2f", "decoder", "encoder", "vamp")
DEFAULT = ("convert", "coarse", "decoder", "encoder", "vamp")
NEEDS = {"convert": ("coarse",), "vamp": PARTS_OF_A_VAMP}
"""Models of a bundle that a part of the work needs, where that is not the model of its name."""

BUSY = 0.5
"""Load for each processor."""


@dataclass(frozen=True)
class Request:
    """What to measure.

    Parameters
    ----------
    bundles
        Directories; without any, checkpoints with random weights are made and converted.
    checkpoints
        Of the first bundle; by default they are found nearby by their hashes.
    size
        Of the models with random weights.
    variants
        Precision and target of the bundles that are made of them.
    against
        Rivals: ``reference``, ``exporter``, ``exporter-int8``.
    parts
        Of the work; by default `DEFAULT`, as far as the bundles have them.
    seconds
        Of audio.
    rounds, budget
        Runs of each; a part that has taken `budget` seconds begins no further round.
    threads
        Of each; as many as there are processors, by default.
    steps
        Of a vamp's coarse model.
    sweep
        Whether to run at other lengths and sizes, too, for the plot.
    directory
        Where to work, in a new directory; by default where temporary ones are.

    """

    bundles: Sequence[Path] = ()
    checkpoints: Sequence[Path] = ()
    size: Size = SMALL
    variants: Sequence[tuple[str, str]] = (("fp32", "portable"),)
    against: Sequence[str] = ("reference", "exporter")
    parts: Sequence[str] = ()
    seconds: float = 10.0
    rounds: int = 3
    budget: float = 90.0
    threads: int | None = None
    steps: int = 12
    sweep: bool = False
    directory: Path | None = None


def bench(request: Request, tell: Callable[[str], None] = lambda _: None) -> Bench:
    """Measure.

    Raises
    ------
    VampconvError
        If a bundle or its checkpoints are missing or damaged; a contestant that fails is in the result instead.

    """
    with tempfile.TemporaryDirectory(dir=request.directory) as work:
        parts, made = list(request.parts or DEFAULT), None
        notes = busy(os.getloadavg()[0], processors())
        if request.bundles:
            columns = columns_of([find_bundle(path) for path in request.bundles])
            parts = present(columns, request.parts)
            notes = [
                f"{p} was not measured: no bundle has it" for p in request.parts or DEFAULT if p not in parts
            ]
        else:
            made = make(Path(work), request.size, parts, request.variants, tell, sweep=request.sweep)
            columns = columns_of(made.bundles)
        paths = {}
        if made is not None:
            listed = Bundle(columns[0].directory).content["checkpoints"]
            paths = {c["file"]: made.folder / c["file"] for c in listed}
        elif request.against or "convert" in parts:
            paths, problems = locate(columns[0].directory, request.checkpoints)
            notes += problems
        setting = Setting(
            folder=Path(work),
            columns=columns,
            paths=paths,
            against=request.against,
            seconds=request.seconds,
            rounds=request.rounds,
            budget=request.budget,
            threads=request.threads or processors(),
            steps=request.steps,
            sweep=request.sweep,
            tell=tell,
        )
        contests, lengths = _contests(setting, parts, made)
        sizes = _sizes(setting, contests, made, request.variants) if request.sweep and made else []
    size = "own" if made is None else "full" if request.size == FULL else "small"
    facts = environment(setting)
    return Bench(facts, size, request.rounds, columns, contests, lengths, sizes, notes)


def present(columns: Sequence[Column], asked: Sequence[str]) -> list[str]:
    """The parts of the work that the bundles have the models for; those asked for have to be among them.

    Raises
    ------
    InputOutputError
        If they are not, or files of the models are not the ones that the bundle was written with.

    """
    bundles = [Bundle(column.directory) for column in columns]
    parts = [p for p in asked or DEFAULT if all(n in b for n in NEEDS.get(p, (p,)) for b in bundles)]
    for part in asked:
        for bundle in bundles if part not in parts else ():
            for model in NEEDS.get(part, (part,)):
                bundle.path(model)
    for model in {model for part in parts for model in NEEDS.get(part, (part,))}:
        for bundle in bundles:
            check_files(bundle, model)
    if not parts:
        raise UsageError("the bundle has no model that is measured", f"convert one of {', '.join(DEFAULT)}")
    return parts


def _contests(setting: Setting, parts: Sequence[str], made: Made | None) -> tuple[list[Contest], list[Point]]:
    contests, points = [], []
    for part in parts:
        if part == "convert":
            contests.append(of_conversion(setting, None if made is None else made.half))
            continue
        contest, more = of_vamp(setting) if part == "vamp" else of_part(setting, part)
        contests.append(contest)
        points += more
    return contests, points


def _sizes(
    setting: Setting, contests: Sequence[Contest], made: Made, variants: Sequence[tuple[str, str]]
) -> list[Point]:
    """The coarse model with fewer layers, and as it is."""
    whole = next((c for c in contests if c.part == "coarse"), None)
    if whole is None:
        return []
    points = []
    for name in SMALLER:
        folder = made.folder / name.removesuffix(".pth")
        folder.mkdir()
        paths = [made.folder / name, made.folder / "codec.pth"]
        columns = columns_of(convert_all(paths, variants, folder, setting.tell))
        located = {path.name: path for path in paths}
        smaller = replace(
            setting, folder=folder, columns=columns, paths=located, rounds=1, sweep=False, exports={}
        )
        points += _of_size(of_part(smaller, "coarse")[0], parameters(columns[0].directory))
    return points + _of_size(whole, parameters(setting.columns[0].directory))


def _of_size(contest: Contest, count: int) -> list[Point]:
    known = [(e, e.outcome.seconds) for e in contest.entries if e.who != FLOOR]
    return [Point(contest.part, e.who, e.label, count, s.median) for e, s in known if s is not None]


def check(found: Bench) -> None:
    """Raise an error if something of ours did not run, for what is measured is not sound then."""
    for contest, entry in found.failures():
        if entry.label:
            raise InputOutputError(
                f"{contest.part}: {entry.name} failed: {entry.outcome.failure}", "vampconv verify the bundle"
            )


def environment(setting: Setting) -> dict[str, Any]:
    """Versions and processor."""
    facts: dict[str, Any] = {"processor": processor(), "machine": platform.machine()}
    facts |= {"processors": os.cpu_count(), "threads": setting.threads, "python": platform.python_version()}
    for name in ("vampconv", "numpy", "onnx", "onnxruntime", "torch"):
        try:
            facts[name] = version(name)
        except PackageNotFoundError:
            facts[name] = None
    return facts


def processor() -> str:
    """The processor's name, as far as the system tells."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()
