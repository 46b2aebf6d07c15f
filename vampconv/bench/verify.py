"""``python -m vampconv.bench.verify``: a layerwise verification at full size, next to one forward of the reference."""

from __future__ import annotations

import sys
import tempfile
from functools import partial
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vampconv.bench.checkpoints import Size
from vampconv.bench.contestant import Spec
from vampconv.bench.process import measure
from vampconv.bench.rival import Rival
from vampconv.bench.tables import spread, system
from vampconv.bench.turns import take_turns
from vampconv.convert import Request, convert
from vampconv.runtime.bundle import Bundle
from vampconv.runtime.session import processors

ALLOWED = (3.0, 10.0)
"""Forwards of the reference, and seconds, that a verification may take."""


@click.command()
@click.option("--layers", default=20, show_default=True, help="Layers of the coarse model.")
@click.option("--steps", default=575, show_default=True, help="Time steps of the input, of batch 1.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each.")
def main(layers: int, steps: int, rounds: int) -> None:
    """Time `vampconv verify --layerwise` as a whole process, on a coarse model with random weights.

    Of the model alone: the sampling loops around it are verified by their tokens, and are left out.
    """
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        measure(Size(layers=layers).command(folder, ["coarse.pth", "codec.pth"]))
        coarse, codec = folder / "coarse.pth", folder / "codec.pth"
        convert(Request([coarse], folder / "out", codec=codec, loops=False))
        paths = {path.name: str(path) for path in (coarse, codec)}
        spec = Spec("reference", "coarse", str(folder / "out"), processors(), paths=paths)
        verify = [sys.executable, "-m", "vampconv", "verify", str(folder / "out"), "--layerwise"]
        sizes = ["--lengths", str(steps), "--batches", "1", "--seeds", "1"]
        verify += [*sizes, "--against", str(coarse), "--against", str(codec)]
        bundle = Bundle(folder / "out")
        seconds = steps * bundle.number("hop") / bundle.number("sample_rate")
        with Rival(spec.command()) as rival:
            rival.run(seconds)
            contestants = {
                "one forward of the reference, float32": partial(rival.run, seconds),
                "verify --layerwise, whole process": partial(measure, verify),
            }
            outcomes = take_turns(contestants, rounds)
    table = Table(
        "", "seconds", "peak MB", title=f"{layers} layers, {steps} steps, {system()}", title_justify="left"
    )
    found = []
    for name, outcome in outcomes.items():
        if outcome.seconds is None:
            raise click.ClickException(f"{name}: {outcome.failure}")
        table.add_row(name, spread(outcome.seconds), f"{outcome.peak_bytes / 1e6:.0f}")
        found.append(outcome.seconds.median)
    console = Console(width=120)
    console.print(table)
    forwards, more = ALLOWED
    allowed = forwards * found[0] + more
    console.print(f"{forwards:g} forwards and {more:g} s: {allowed:.1f} s; taken: {found[1]:.1f} s")


if __name__ == "__main__":
    main()
