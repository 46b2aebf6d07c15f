"""``python -m vampconv.bench.loop``: a step of the loop within a graph, next to a forward pass on its own."""

from __future__ import annotations

import statistics
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime as ort
from rich.console import Console
from rich.table import Table

from vampconv.bench.checkpoints import Size, make
from vampconv.bench.process import Run, timed
from vampconv.bench.tables import system
from vampconv.bench.turns import Outcome, take_turns
from vampconv.convert import Request, convert
from vampconv.noise import Noise

OPTIONS = {"temperature": 1.0, "mask_temperature": 10.5, "top_p": 1.0, "sample_cutoff": 1.0}
ALONE = "coarse.onnx alone"


@click.command()
@click.option("--layers", default=4, show_default=True, help="Of the coarse model; the trained one has 20.")
@click.option("--width", default=1, show_default=True, help="Divide all channels by this.")
@click.option("--length", default=575, show_default=True, help="Time steps; 10 s of audio are 575.")
@click.option("--steps", default=4, show_default=True, help="Steps of the loop.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each, in turn.")
@click.option("--threads", default=2, show_default=True, help="Of ONNX Runtime.")
def main(layers: int, width: int, length: int, steps: int, rounds: int, threads: int) -> None:
    """Print milliseconds per step: forwards alone, the loop with a seed, the loop with given draws, numpy's draws."""
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make(folder, Size(layers=layers, width=width), ["coarse.pth", "codec.pth"])
        convert(Request([folder / "coarse.pth"], folder / "bundle", codec=folder / "codec.pth"))
        runs = {
            n: partial(_run, run) for n, run in contestants(folder / "bundle", length, steps, threads).items()
        }
        take_turns(runs, 1)
        outcomes = take_turns(runs, rounds)
    title = f"{layers} layers, {length} × 4 tokens of 1024, {steps} steps, {threads} threads, {system()}"
    heads = ("", "ms per step", "all runs", "beyond a forward", "CPU ms", "beyond a forward")
    table = Table(*heads, title=title, title_justify="left")
    walls, busy = (
        {n: _per_step(o, figure, steps) for n, o in outcomes.items()} for figure in ("seconds", "cpu_seconds")
    )
    for name, taken in walls.items():
        every = " ".join(f"{t:.1f}" for t in taken)
        table.add_row(name, *_tell(walls, name)[:1], every, *_tell(walls, name)[1:], *_tell(busy, name))
    Console(width=130).print(table)


def _run(function: Callable[[], Any]) -> Run:
    return timed(function)[0]


def _per_step(outcome: Outcome, figure: str, steps: int) -> list[float]:
    """Milliseconds of each run."""
    return [getattr(run, figure) / steps * 1e3 for run in outcome.runs]


def _tell(times: dict[str, list[float]], name: str) -> Sequence[str]:
    """The median, and that of the differences to the forward pass of the same turn."""
    more = statistics.median(a - b for a, b in zip(times[name], times[ALONE], strict=True))
    return f"{statistics.median(times[name]):.1f}", f"{more:.1f}"


def contestants(bundle: Path, length: int, steps: int, threads: int) -> dict[str, Callable[[], Any]]:
    """What is measured, each a function that does `steps` steps."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    forward, seeded, replay = (
        ort.InferenceSession(bundle / f"{name}.onnx", options, providers=["CPUExecutionProvider"])
        for name in ("coarse", "vamp", "vamp_replay")
    )
    codes = np.random.default_rng(0).integers(0, 1024, (1, 4, length))
    feeds = {"codes": codes, "mask": np.ones_like(codes), "steps": np.asarray(steps)}
    feeds |= {name: np.asarray(value, np.float32) for name, value in OPTIONS.items()}
    rows, noise = 4 * length, Noise(0)
    draws = {
        "exponential": np.stack([noise.exponential(i, 1, rows, 1024) for i in range(steps)]),
        "gumbel": np.stack([noise.gumbel(i, 1, rows) for i in range(steps)]),
    }
    return {
        ALONE: lambda: [forward.run(None, {"codes": codes}) for _ in range(steps)],
        "vamp.onnx": lambda: seeded.run(None, feeds | {"seed": np.asarray(0)}),
        "vamp_replay.onnx": lambda: replay.run(None, feeds | draws),
        "draws in numpy": lambda: [noise.exponential(i, 1, rows, 1024) for i in range(steps)],
    }


if __name__ == "__main__":
    main()
