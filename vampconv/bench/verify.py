"""``python -m vampconv.bench.verify``: a layerwise verification at full size, next to one forward of the reference."""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vampconv.bench.process import measure, medians
from vampconv.bench.rival import compete
from vampconv.convert import Request, convert

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
        measure([sys.executable, "-m", "vampconv.bench.checkpoints", work, str(layers)])
        coarse, codec = str(folder / "coarse.pth"), str(folder / "codec.pth")
        convert(Request([folder / "coarse.pth"], folder / "out", codec=folder / "codec.pth", loops=False))
        forward = [sys.executable, "-m", "vampconv.bench.forward", coarse, codec, str(steps)]
        runs = compete({"forward": [*forward, str(folder / "logits.npy")]}, rounds)["forward"]
        verify = [sys.executable, "-m", "vampconv", "verify", str(folder / "out"), "--layerwise"]
        sizes = ["--lengths", str(steps), "--batches", "1", "--seeds", "1"]
        verify += [*sizes, "--against", coarse, "--against", codec]
        verified = [measure(verify) for _ in range(rounds)]
    reference, found = statistics.median(r.seconds for r in runs), medians(verified)
    title = f"{layers} layers, {steps} steps, {platform.machine()}, torch {version('torch')}"
    table = Table("", "median s", "all runs, s", "peak MB", title=title, title_justify="left")
    for name, all_runs in (
        ("one forward of the reference, float32", runs),
        ("verify --layerwise, whole process", verified),
    ):
        every = " ".join(f"{r.seconds:.2f}" for r in all_runs)
        median = medians(all_runs)
        table.add_row(name, f"{median.seconds:.2f}", every, f"{median.peak_bytes / 1e6:.0f}")
    console = Console(width=120)
    console.print(table)
    forwards, seconds = ALLOWED
    allowed = forwards * reference + seconds
    console.print(f"{forwards:g} forwards and {seconds:g} s: {allowed:.1f} s; taken: {found.seconds:.1f} s")


if __name__ == "__main__":
    main()
