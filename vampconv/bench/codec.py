"""``python -m vampconv.bench.codec``: encoder and decoder at full size, next to eager torch and its exporter."""

from __future__ import annotations

import os
import platform
import statistics
import sys
import tempfile
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import click
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from vampconv.bench.codec_rival import load
from vampconv.bench.process import Measurement, measure, medians
from vampconv.bench.rival import compete
from vampconv.convert import Request, convert
from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec
from vampconv.reference.random_checkpoint import LAC_KWARGS, checkpoint
from vampconv.verify.tokens import judge_codes

Side = tuple[LACReference, torch.Tensor]
NAMES = {
    "reference": "PyTorch eager",
    "exporter": "torch.onnx.export(dynamo=True) in ORT",
    "graph": "our graph in ORT, whole",
    "bundle": "vampconv.runtime",
}


@click.command()
@click.option("--seconds", default=10.0, show_default=True, help="Length of the audio.")
@click.option("--rounds", default=5, show_default=True, help="Runs of each.")
@click.option("--width", default=1, show_default=True, help="Divide all channels by this, to try it out.")
@click.option("--disable", multiple=True, metavar="RULE", help="Also measure without this rule.")
def main(seconds: float, rounds: int, width: int, disable: tuple[str, ...]) -> None:
    """Encode and decode noise with random weights; print medians, ratios to the exporter and peak memory."""
    config = LACConfig.from_kwargs(LAC_KWARGS)
    config = replace(config, encoder_dim=config.encoder_dim // width, decoder_dim=config.decoder_dim // width)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepare(folder, config, seconds)
        names = dict(NAMES)
        convert(Request([folder / "codec.pth"], folder / "bundle"))
        for rule in disable:
            names[f"without-{rule}"] = f"vampconv.runtime, without {rule}"
            convert(Request([folder / "codec.pth"], folder / f"without-{rule}", disable=(rule,)))
        for part in ("encoder", "decoder"):
            contest(part, folder, names, rounds, seconds)


def prepare(folder: Path, config: LACConfig, seconds: float, *, weights: bool = True) -> None:
    """Write a checkpoint with random `weights`, audio [1, 1, samples] in whole hops, and codes."""
    if weights:
        torch.save(checkpoint(random_codec(config, 0), config.to_kwargs()), folder / "codec.pth")
    random = np.random.default_rng(0)
    frames = int(-(-seconds * config.sample_rate // config.hop))
    audio = 0.2 * random.standard_normal((1, 1, frames * config.hop))
    np.save(folder / "audio.npy", audio.astype(np.float32))
    codes = random.integers(0, config.codebook_size, (1, config.n_codebooks, frames))
    np.save(folder / "codes.npy", codes)


def contest(part: str, folder: Path, names: dict[str, str], rounds: int, seconds: float) -> None:
    """Let all run one part in turn, and print how they did."""
    module = [sys.executable, "-m", "vampconv.bench.codec_rival"]
    outputs = {who: folder / f"{part}.{who}.npy" for who in names}
    commands = {who: [*module, who, part, str(folder), str(path)] for who, path in outputs.items()}
    measure([*module, "export", part, str(folder), os.devnull])
    results = compete(commands, rounds)
    reference = np.load(outputs["reference"])
    sides = quantized(folder) if part == "encoder" else None
    title = f"{part}, {seconds:g} s of audio, {platform.machine()}, torch {version('torch')}, "
    title += f"onnxruntime {version('onnxruntime')}"
    heads = (
        "",
        "median s",
        "all runs, s",
        "× exporter",
        "peak MB",
        "same as PyTorch",
        *["against float64"] * bool(sides),
    )
    table = Table(*heads, title=title, title_justify="left")
    for who, runs in results.items():
        median = medians(runs)
        every = " ".join(f"{r.seconds:.2f}" for r in runs)
        ratio = f"{paired_ratio(runs, results['exporter']):.2f}"
        peak = f"{median.peak_bytes / 1e6:.0f}"
        output = np.load(outputs[who])
        found = [agreement(output, reference)]
        if sides:
            with torch.inference_mode():
                judged = judge_codes(output, *sides)
            found.append(f"{judged.equal} best, {judged.ties} ties, {judged.real} wrong")
        table.add_row(names[who], f"{median.seconds:.2f}", every, ratio, peak, *found)
    Console(width=150).print(table)


def quantized(folder: Path) -> tuple[Side, Side]:
    """The reference in float64 and in float32, each with what its quantizer gets of the audio."""
    audio = torch.from_numpy(np.load(folder / "audio.npy"))

    def side(dtype: torch.dtype) -> Side:
        model = load(folder).to(dtype)
        with torch.inference_mode():
            return model, model.encoder(model.pad(audio.to(dtype)))

    return side(torch.float64), side(torch.float32)


def paired_ratio(ours: list[Measurement], theirs: list[Measurement]) -> float:
    """Median of the ratios of runs that followed each other, so that a machine's drift cancels."""
    return statistics.median(a.seconds / b.seconds for a, b in zip(ours, theirs, strict=True))


def agreement(found: np.ndarray, wanted: np.ndarray) -> str:
    """How many codes are equal, or the relative L2 distance of audio."""
    if found.dtype.kind == "i":
        return f"{int((found == wanted).sum())} of {wanted.size} codes"
    distance = np.linalg.norm(found.astype(np.float64) - wanted) / np.linalg.norm(wanted.astype(np.float64))
    return f"{distance:.1e}"


if __name__ == "__main__":
    main()
