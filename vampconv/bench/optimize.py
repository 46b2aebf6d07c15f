"""``python -m vampconv.bench.optimize``: what torch's two exporters make of the reference, before and after."""

from __future__ import annotations

import platform
import statistics
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vampconv.bench.export import EXPORTERS, Subject, export, subjects
from vampconv.dialect.op import Array
from vampconv.optimize import Optimized, Request, optimize
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_checkpoint import COARSE, COARSE_TO_FINE, LAC_KWARGS

HEADS = ("model, exporter", "nodes", "MB", "s", "median ms", "ratio", "error torch", "exported", "optimised")


@click.command()
@click.option("--part", multiple=True, help="Only these parts: coarse, c2f, encoder, decoder, wavebeat.")
@click.option("--layers", default=4, show_default=True, help="Layers of the transformers.")
@click.option("--width", default=2, show_default=True, help="Divide the codec's channels by this.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", default=9, show_default=True, help="Runs of each, in turn.")
@click.option("--opset", default=17, show_default=True, help="Opset of the TorchScript exporter.")
def main(part: tuple[str, ...], layers: int, width: int, seconds: float, rounds: int, opset: int) -> None:
    """Export with random weights, optimise, and compare nodes, size, time, and the error against float64."""
    coarse, fine = replace(COARSE, n_layers=layers), replace(COARSE_TO_FINE, n_layers=layers)
    codec = LACConfig.from_kwargs(LAC_KWARGS)
    codec = replace(codec, encoder_dim=codec.encoder_dim // width, decoder_dim=codec.decoder_dim // width)
    title = f"{seconds:g} s of audio, {platform.machine()}, torch {version('torch')}, "
    title += f"onnxruntime {version('onnxruntime')}"
    table = Table(*HEADS, title=title, title_justify="left")
    with tempfile.TemporaryDirectory() as work:
        for subject in subjects(coarse, fine, codec, seconds):
            if part and subject.name not in part:
                continue
            truth, own = _reference(subject)
            for kind in EXPORTERS:
                table.add_row(*_compared(subject, kind, Path(work), rounds, opset, truth, own))
    Console(width=140).print(table)


def _reference(subject: Subject) -> tuple[Array, float | str]:
    """What the module puts out in float64, and how far float32 is from it."""
    with torch.inference_mode():
        single = subject.module(*subject.inputs.values()).numpy()
        double = subject.module.double()(*(_doubled(x) for x in subject.inputs.values())).numpy()
    subject.module.float()
    return double, distance(single, double)


def _doubled(x: torch.Tensor) -> torch.Tensor:
    return x.double() if x.is_floating_point() else x


def distance(found: Array, truth: Array) -> float | str:
    """Relative L2 distance; of integers, how many differ."""
    if truth.dtype.kind == "i":
        return f"{int((found != truth).sum())} of {truth.size}"
    wide = truth.astype(np.float64)
    return float(np.linalg.norm(found - wide) / np.linalg.norm(wide))


def _compared(
    subject: Subject, kind: str, folder: Path, rounds: int, opset: int, truth: Array, own: float | str
) -> list[str]:
    exported, output = (folder / f"{subject.name}.{kind}.{end}.onnx" for end in ("exported", "optimised"))
    export(subject, kind, exported, opset)
    start = time.perf_counter()
    found = optimize(Request(exported, output))
    seconds = time.perf_counter() - start
    feeds = {name: x.numpy() for name, x in subject.inputs.items()}
    sessions = [_session(exported), _session(output)]
    results = [np.asarray(s.run(None, feeds)[0]) for s in sessions]
    times: list[list[float]] = [[], []]
    for _ in range(rounds):
        for session, taken in zip(sessions, times, strict=True):
            start = time.perf_counter()
            session.run(None, feeds)
            taken.append(time.perf_counter() - start)
    errors = [told(own), *(told(distance(r, truth)) for r in results)]
    return [f"{subject.name}, {kind}", *_sizes(found), f"{seconds:.1f}", *_times(times), *errors]


def _session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def _sizes(found: Optimized) -> tuple[str, str]:
    before, after = found.before, found.after
    return f"{before.nodes} → {after.nodes}", f"{before.bytes / 1e6:.1f} → {after.bytes / 1e6:.1f}"


def _times(times: list[list[float]]) -> tuple[str, str]:
    """Medians, and the median of the ratios of runs that followed each other."""
    before, after = (1e3 * statistics.median(taken) for taken in times)
    ratio = statistics.median(b / a for a, b in zip(*times, strict=True))
    return f"{before:.1f} → {after:.1f}", f"{ratio:.2f}"


def told(error: float | str) -> str:
    """An error as it is printed."""
    return error if isinstance(error, str) else f"{error:.1e}"


if __name__ == "__main__":
    sys.exit(main())
