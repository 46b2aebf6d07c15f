"""Whole processes of ours: conversions and vamps, next to their rivals."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from vampconv.bench.contest import Contestant, Key, Setting, compete, sweep
from vampconv.bench.inputs import frames_in, inputs
from vampconv.bench.process import Run, measure
from vampconv.bench.result import COPY, EXPORTER, HALF, OURS, REFERENCE, Column, Contest, Entry, Point
from vampconv.bench.rival import Rival
from vampconv.bench.turns import take_turns
from vampconv.frontend.families import CODEC, FINE_TUNE, TRANSFORMER
from vampconv.runtime.bundle import Bundle

FLAGS = {CODEC: "--codec", FINE_TUNE: "--lora"}
COMMAND = (sys.executable, "-m", "vampconv")
PARTS_OF_A_VAMP = ("encoder", "coarse", "c2f", "decoder")
MODELS = ("encoder", "coarse", "coarse to fine", "decoder")
"""What `vampconv vamp` calls its parts that are models."""
WARM_UP = 1.0
"""Seconds of audio of the vamp that comes before the others."""


def conversion(
    checkpoints: Sequence[Path], output: Path, precision: str, target: str, options: Sequence[str] = ()
) -> list[str]:
    """The command that converts for a precision and a target."""
    chosen = ["--precision", precision, "--target", target, "-o", str(output), *options]
    return [*COMMAND, "convert", *map(str, checkpoints), *chosen]


def of_conversion(setting: Setting, half: Path | None) -> Contest:
    """The conversion of the coarse model, next to the exporter and to ``cp``.

    Parameters
    ----------
    setting
        Its first bundle says which checkpoints are the coarse model's.
    half
        A model of half as many layers, to see whether memory grows.

    """
    coarse, options = checkpoints_of(setting, "coarse")
    output, first = setting.folder / "converted", setting.columns[0]
    commands: dict[Key, list[str]] = {(COPY, ""): ["cp", str(coarse), str(output)]}
    for c in setting.columns:
        commands[OURS, c.label] = conversion([coarse], output, c.precision, c.target, options)
    if half is not None:
        commands[HALF, first.label] = conversion([half], output, first.precision, first.target, options)

    def turn(key: Key) -> Run:
        setting.tell(f"convert: {', '.join(filter(None, key))}")
        return measure(commands[key])

    def clean() -> None:
        if output.is_dir():
            shutil.rmtree(output)
        output.unlink(missing_ok=True)

    turns = {" ".join(key): partial(turn, key) for key in commands}
    ran = take_turns(turns, setting.rounds, budget=setting.budget, between=clean)
    outcomes = {key: ran[" ".join(key)] for key in commands}
    if EXPORTER in setting.against:
        outcomes[EXPORTER, ""] = setting.exported("coarse")[0]
    return Contest("convert", None, [Entry(*key, outcome) for key, outcome in outcomes.items()])


def checkpoints_of(setting: Setting, part: str) -> tuple[Path, list[str]]:
    """The checkpoint of a transformer of the first bundle, and the options that name the others it is made from."""
    bundle = Bundle(setting.columns[0].directory)
    used = {source for sources in bundle.weights(part) for source in sources}
    kinds = {c["file"]: c["kind"] for c in bundle.content["checkpoints"]}
    named = {
        kinds[label]: str(path)
        for label, path in setting.paths.items()
        if any(source.startswith(f"{label}:") for source in used)
    }
    options = [(flag, named[kind]) for kind, flag in FLAGS.items() if kind in named]
    return Path(named[TRANSFORMER]), [word for option in options for word in option]


@dataclass(frozen=True)
class VampCommand:
    """``vampconv vamp``, from file to file; all tokens are made anew.

    Parameters
    ----------
    column
        The bundle.
    folder
        To work in.
    threads, steps
        As for `Setting`.

    """

    column: Column
    folder: Path
    threads: int
    steps: int

    def run(self, seconds: float) -> Run:
        """One process on so much noise."""
        sound, told = self.folder / f"noise-{seconds:g}.wav", self.folder / "vamp.json"
        if not sound.exists():
            self._write(sound, seconds)
        options = ["--bundle", str(self.column.directory), "--seed", "0", "--periodic", "0", "--force"]
        options += ["--steps", str(self.steps), "--threads", str(self.threads), "--json"]
        run = measure([*COMMAND, "vamp", str(sound), "-o", str(self.folder / "vamp.wav"), *options], told)
        parts = json.loads(told.read_text(encoding="utf-8"))["took_seconds"]
        return replace(run, parts={name: parts.get(name, 0.0) for name in MODELS})

    def _write(self, path: Path, seconds: float) -> None:
        from vampconv.runtime.audio import write_wav

        bundle = Bundle(self.column.directory)
        rate = bundle.number("sample_rate")
        frames = frames_in(seconds, rate, bundle.number("hop"))
        noise = inputs("encoder", bundle.architecture("encoder"), frames)["audio"]
        write_wav(path, np.ascontiguousarray(noise[0, 0, : max(1, round(seconds * rate))]), rate)


def of_vamp(setting: Setting) -> tuple[Contest, list[Point]]:
    """A vamp from audio to audio by each column's bundle, next to PyTorch with its models in memory."""
    columns = [c for c in setting.columns if all(p in Bundle(c.directory) for p in PARTS_OF_A_VAMP)]
    contestants: dict[Key, Contestant] = {
        (OURS, c.label): VampCommand(c, setting.folder, setting.threads, setting.steps) for c in columns
    }
    with ExitStack() as stack:
        if REFERENCE in setting.against:
            spec = setting.spec(REFERENCE, "vamp")
            contestants = {(REFERENCE, ""): stack.enter_context(Rival(spec.command())), **contestants}
        outcomes = compete(setting, "vamp", contestants, setting.seconds, WARM_UP)
        points = sweep(setting, "vamp", contestants, outcomes) if setting.sweep else []
    return Contest("vamp", setting.seconds, [Entry(*k, o) for k, o in outcomes.items()]), points
