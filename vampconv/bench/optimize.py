"""``python -m vampconv.bench.optimize``: what torch's two exporters make of the reference, before and after."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import nn

from vampconv.bench.agreement import agreement
from vampconv.bench.checkpoints import Size
from vampconv.bench.export import EXPORTERS, dynamic_axes, export
from vampconv.bench.inputs import frames_in, inputs
from vampconv.bench.modules import module
from vampconv.bench.process import Run, timed
from vampconv.bench.tables import system
from vampconv.bench.turns import Outcome, take_turns
from vampconv.dialect.op import Array
from vampconv.optimize import Optimized, Request, optimize
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.lac import LACReference
from vampconv.reference.random_audio_checkpoint import WAVEBEAT, random_codec, random_wavebeat
from vampconv.reference.random_checkpoint import random_state_dict
from vampconv.reference.vampnet import VampNetReference
from vampconv.reference.wavebeat import WaveBeatReference

HEADS = ("model, exporter", "nodes", "MB", "s", "median ms", "ratio", "error torch", "exported", "optimised")
BEATS_RATE = 22050
PARTS = ("coarse", "c2f", "encoder", "decoder", "wavebeat")


@dataclass(frozen=True)
class Subject:
    """A part of the reference as a module, its inputs by name, and its hop if it has one."""

    name: str
    module: nn.Module
    inputs: dict[str, Array]
    hop: int


@click.command()
@click.option("--part", type=click.Choice(PARTS), multiple=True, help="Only these parts.")
@click.option("--layers", default=4, show_default=True, help="Layers of the transformers.")
@click.option("--width", default=2, show_default=True, help="Divide the codec's channels by this.")
@click.option("--seconds", default=2.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", default=9, show_default=True, help="Runs of each, in turn.")
@click.option("--opset", default=17, show_default=True, help="Opset of the TorchScript exporter.")
def main(part: tuple[str, ...], layers: int, width: int, seconds: float, rounds: int, opset: int) -> None:
    """Export with random weights, optimise, and compare nodes, size, time, and the error against float64."""
    title = f"{seconds:g} s of audio, {system()}"
    table = Table(*HEADS, title=title, title_justify="left")
    with tempfile.TemporaryDirectory() as work:
        for name in part or PARTS:
            found = subject(name, Size(layers=layers), Size(width=width), seconds)
            truth, own = _reference(found)
            for kind in EXPORTERS:
                table.add_row(*_compared(found, kind, Path(work), rounds, opset, truth, own))
    Console(width=140).print(table)


def subject(part: str, transformers: Size, codec: Size, seconds: float) -> Subject:
    """A part with random weights, and noise of that length."""
    if part == "wavebeat":
        weights = random_wavebeat(WAVEBEAT, 0)
        tracker = WaveBeatReference.from_checkpoint(weights, WAVEBEAT.to_hyper_parameters())
        return Subject(part, module(part, tracker), inputs(part, {}, int(BEATS_RATE * seconds)), 1)
    config = codec.codec()
    state, frames = random_codec(config, 0), frames_in(seconds, config.sample_rate, config.hop)
    known = {"hop": config.hop, "n_codebooks": config.n_codebooks, "codebook_size": config.codebook_size}
    if part in ("encoder", "decoder"):
        lac = LACReference.from_state_dict(state, config.to_kwargs())
        return Subject(part, module(part, lac), inputs(part, known, frames), config.hop)
    sizes = transformers.transformers()[part == "c2f"]
    weights = random_state_dict(sizes, seed=0)
    model = VampNetReference.from_state_dict(weights, sizes.to_kwargs(), codec_tables(state))
    model.merge_lora()
    known = {"n_codebooks": sizes.n_codebooks, "vocab_size": sizes.vocab_size}
    return Subject(part, module(part, model), inputs(part, known, frames), config.hop)


def _tensors(of: Subject) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x) for name, x in of.inputs.items()}


def _reference(of: Subject) -> tuple[Array, str]:
    """What the module puts out in float64, and how far float32 is from it."""
    given = _tensors(of)
    with torch.inference_mode():
        single = of.module(**given).numpy()
        wide = {name: x.double() if x.is_floating_point() else x for name, x in given.items()}
        double = of.module.double()(**wide).numpy()
    of.module.float()
    return double, told(single, double)


def told(found: Array, truth: Array) -> str:
    """Relative L2 distance; of integers, how many differ."""
    figures = agreement("", found, truth)
    if "error" in figures:
        return f"{figures['error']:.1e}"
    return f"{round((1 - figures['equal']) * truth.size)} of {truth.size}"


def _compared(
    of: Subject, kind: str, folder: Path, rounds: int, opset: int, truth: Array, own: str
) -> list[str]:
    exported, output = (folder / f"{of.name}.{kind}.{end}.onnx" for end in ("exported", "optimised"))
    given = _tensors(of)
    dynamic = dynamic_axes(of.name, given, of.hop)
    export(of.module, given, dynamic, exported, kind=kind, opset=opset)
    start = time.perf_counter()
    found = optimize(Request(exported, output))
    seconds = time.perf_counter() - start
    runs = {path.name: _running(path, of.inputs) for path in (exported, output)}
    results = [run() for run in runs.values()]
    outcomes = take_turns({name: partial(_timed, run) for name, run in runs.items()}, rounds)
    errors = [own, *(told(result, truth) for result in results)]
    return [f"{of.name}, {kind}", *_sizes(found), f"{seconds:.1f}", *_times(*outcomes.values()), *errors]


def _timed(function: Callable[[], Any]) -> Run:
    return timed(function)[0]


def _running(path: Path, feeds: dict[str, Array]) -> Callable[[], Array]:
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda: np.asarray(session.run(None, feeds)[0])


def _sizes(found: Optimized) -> tuple[str, str]:
    before, after = found.before, found.after
    return f"{before.nodes} → {after.nodes}", f"{before.bytes / 1e6:.1f} → {after.bytes / 1e6:.1f}"


def _times(before: Outcome, after: Outcome) -> tuple[str, str]:
    """Medians, and the median of the ratios of runs that followed each other."""
    first, second, ratio = before.seconds, after.seconds, after.over(before)
    assert first is not None
    assert second is not None
    assert ratio is not None
    return f"{1e3 * first.median:.1f} → {1e3 * second.median:.1f}", f"{ratio.median:.2f}"


if __name__ == "__main__":
    main()
