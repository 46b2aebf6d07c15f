"""``python -m vampconv.bench.loop``: a step of the loop within a graph, next to a forward pass on its own."""

from __future__ import annotations

import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime as ort
import torch
from rich.console import Console
from rich.table import Table

from vampconv.convert import Request, convert
from vampconv.noise import Noise
from vampconv.reference.random_checkpoint import (
    COARSE,
    LAC_KWARGS,
    checkpoint,
    random_codec_tables,
    random_state_dict,
)

OPTIONS = {"temperature": 1.0, "mask_temperature": 10.5, "top_p": 1.0, "sample_cutoff": 1.0}


@click.command()
@click.option("--layers", default=4, show_default=True, help="Of the coarse model; the trained one has 20.")
@click.option("--dim", default=1280, show_default=True, help="Width of the model; 20 heads.")
@click.option("--length", default=575, show_default=True, help="Time steps; 10 s of audio are 575.")
@click.option("--steps", default=4, show_default=True, help="Steps of the loop.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each, in turn.")
@click.option("--threads", default=2, show_default=True, help="Of ONNX Runtime.")
def main(layers: int, dim: int, length: int, steps: int, rounds: int, threads: int) -> None:
    """Print milliseconds per step: forwards alone, the loop with a seed, the loop with given draws, numpy's draws."""
    config = replace(COARSE, n_layers=layers, embedding_dim=dim)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        tables = random_codec_tables(LAC_KWARGS["n_codebooks"], LAC_KWARGS["codebook_size"], 8, seed=1)
        torch.save(checkpoint(tables, LAC_KWARGS), folder / "codec.pth")
        state = random_state_dict(config, seed=0)
        torch.save(checkpoint(state, config.to_kwargs()), folder / "coarse.pth")
        convert(Request([folder / "coarse.pth"], folder / "bundle"))
        candidates = contestants(folder / "bundle", length, steps, threads)
        times: dict[str, list[float]] = {name: [] for name in candidates}
        busy: dict[str, list[float]] = {name: [] for name in candidates}
        for turn in range(rounds + 1):
            for name, run in candidates.items():
                start, used = time.perf_counter(), time.process_time()
                run()
                if turn:
                    times[name].append((time.perf_counter() - start) / steps * 1e3)
                    busy[name].append((time.process_time() - used) / steps * 1e3)
    title = f"{layers} layers, {length} × 4 tokens of 1024, {steps} steps, {threads} threads, "
    title += f"{platform.machine()}, onnxruntime {version('onnxruntime')}"
    heads = ("", "ms per step", "all runs", "beyond a forward", "CPU ms", "beyond a forward")
    table = Table(*heads, title=title, title_justify="left")
    for name, runs in times.items():
        every = " ".join(f"{t:.1f}" for t in runs)
        table.add_row(name, *_tell(times, name)[:1], every, *_tell(times, name)[1:], *_tell(busy, name))
    Console(width=130).print(table)


def _tell(times: dict[str, list[float]], name: str) -> tuple[str, str]:
    """The median, and that of the differences to the forward pass of the same turn."""
    more = statistics.median(a - b for a, b in zip(times[name], times["coarse.onnx alone"], strict=True))
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
        "coarse.onnx alone": lambda: [forward.run(None, {"codes": codes}) for _ in range(steps)],
        "vamp.onnx": lambda: seeded.run(None, feeds | {"seed": np.asarray(0)}),
        "vamp_replay.onnx": lambda: replay.run(None, feeds | draws),
        "draws in numpy": lambda: [noise.exponential(i, 1, rows, 1024) for i in range(steps)],
    }


if __name__ == "__main__":
    main()
