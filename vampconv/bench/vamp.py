"""``python -m vampconv.bench.vamp``: audio through a whole vamp at full size, next to PyTorch in eager mode."""

from __future__ import annotations

import platform
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vampconv.bench.codec import paired_ratio, prepare
from vampconv.bench.process import Measurement, medians
from vampconv.bench.rival import compete
from vampconv.bench.vamp_rival import PARTS
from vampconv.convert import Request, convert
from vampconv.reference.config import VampNetConfig
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_checkpoint import (
    COARSE,
    COARSE_TO_FINE,
    LAC_KWARGS,
    checkpoint,
    random_state_dict,
)

NAMES = {
    "reference": "PyTorch eager",
    "runtime": "vampconv.runtime, all models loaded",
    "command": "vampconv vamp, one model after another",
}


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="Length of the audio.")
@click.option("--steps", default=12, show_default=True, help="Of the coarse model; the other always takes 2.")
@click.option("--rounds", default=3, show_default=True, help="Runs of each, in turn.")
@click.option("--layers", type=int, help="Of both transformers [20 and 16].")
@click.option("--width", default=1, show_default=True, help="Divide all channels by this, to try it out.")
@click.option("--only", type=click.Choice(list(NAMES)), multiple=True, help="Measure just this.")
@click.option("--directory", type=click.Path(path_type=Path), help="Models made there before are used again.")
def main(
    seconds: float,
    steps: int,
    rounds: int,
    layers: int | None,
    width: int,
    only: tuple[str, ...],
    directory: Path | None,
) -> None:
    """Vamp noise with random weights; print time per part, the ratio to PyTorch and peak memory.

    Each runs in a process of its own. What the command takes to load its models and to check them counts.
    """
    with workplace(directory) as folder:
        codec = LACConfig.from_kwargs(LAC_KWARGS)
        codec = replace(codec, encoder_dim=codec.encoder_dim // width, decoder_dim=codec.decoder_dim // width)
        if not (folder / "bundle").exists():
            make(folder, codec, layers, width)
        prepare(folder, codec, seconds, weights=False)
        module = [sys.executable, "-m", "vampconv.bench.vamp_rival"]
        names = [name for name in NAMES if name in (only or NAMES)]
        commands = {
            name: [*module, name, str(folder), str(steps), str(folder / f"{name}.npy")] for name in names
        }
        results = compete(commands, rounds)
        parts = {name: np.median(np.load(folder / f"{name}.npy")[-rounds:], axis=0) for name in names}
    show(results, parts, f"{seconds:g} s of audio, {steps} coarse and 2 fine steps")


@contextmanager
def workplace(directory: Path | None) -> Iterator[Path]:
    """The directory, or one for now."""
    if directory is not None:
        directory.mkdir(parents=True, exist_ok=True)
        yield directory
        return
    work = Path(tempfile.mkdtemp())
    try:
        yield work
    finally:
        shutil.rmtree(work)


def make(folder: Path, codec: LACConfig, layers: int | None, width: int) -> None:
    """Write checkpoints with random weights, and the bundle of them."""
    prepare(folder, codec, 1.0)
    for seed, (name, config) in enumerate({"coarse": COARSE, "c2f": COARSE_TO_FINE}.items()):
        sized = replace(
            config,
            n_layers=layers or config.n_layers,
            embedding_dim=config.embedding_dim // width,
            n_heads=max(1, config.n_heads // width),
        )
        save(folder / f"{name}.pth", sized, seed)
    convert(Request([folder / f"{name}.pth" for name in ("coarse", "c2f", "codec")], folder / "bundle"))


def save(path: Path, config: VampNetConfig, seed: int) -> None:
    """Write a transformer with random weights."""
    torch.save(checkpoint(random_state_dict(config, seed), config.to_kwargs()), path)


def show(results: dict[str, list[Measurement]], parts: dict[str, np.ndarray], what: str) -> None:
    """Print medians, those of each part, ratios to PyTorch, and peak memory."""
    title = f"{what}, {platform.machine()}, torch {version('torch')}, onnxruntime {version('onnxruntime')}"
    heads = ("", "median s", "all runs, s", *(f"{part}, s" for part in PARTS), "× PyTorch", "peak MB")
    table = Table(*heads, title=title, title_justify="left")
    for name, runs in results.items():
        every = " ".join(f"{run.seconds:.2f}" for run in runs)
        ratio = f"{paired_ratio(runs, results['reference']):.3f}" if "reference" in results else ""
        peak = f"{medians(runs).peak_bytes / 1e6:.0f}"
        middle = statistics.median(run.seconds for run in runs)
        seconds = [f"{part:.2f}" for part in parts[name]]
        table.add_row(NAMES[name], f"{middle:.2f}", every, *seconds, ratio, peak)
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
