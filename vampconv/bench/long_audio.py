"""``python -m vampconv.bench.long_audio``: a long file through the runtime at full size: memory, and what comes out."""

from __future__ import annotations

import math
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vampconv.bench.codec import agreement, prepare
from vampconv.bench.codec_rival import INPUTS
from vampconv.bench.rival import Rival
from vampconv.convert import Request, convert
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_checkpoint import LAC_KWARGS
from vampconv.runtime.receptive_field import receptive_field

Array = NDArray[Any]


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="Length of the audio.")
@click.option("--excerpt", default=10.0, show_default=True, help="Seconds at either end that also run whole.")
@click.option("--width", default=1, show_default=True, help="Divide all channels by this, to try it out.")
@click.option("--part", "parts", type=click.Choice(list(INPUTS)), multiple=True, help="Only this one.")
def main(minutes: float, excerpt: float, width: int, parts: tuple[str, ...]) -> None:
    """Encode and decode in a process each; print time, peak memory and how the ends compare with a whole run."""
    config = LACConfig.from_kwargs(LAC_KWARGS)
    config = replace(config, encoder_dim=config.encoder_dim // width, decoder_dim=config.decoder_dim // width)
    table = Table("", "seconds", "× real time", "peak MB", "first as whole", "last as whole")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        prepare(folder, config, 60 * minutes)
        convert(Request([folder / "codec.pth"], folder / "bundle"))
        frames = math.ceil(excerpt * config.sample_rate / config.hop)
        for part in parts or INPUTS:
            seconds, peak = run(part, folder)
            ends = [compare(part, folder, frames, config.hop, last=last) for last in (False, True)]
            table.add_row(part, f"{seconds:.1f}", f"{60 * minutes / seconds:.2f}", f"{peak / 1e6:.0f}", *ends)
    Console(width=110).print(table)


def run(part: str, folder: Path) -> tuple[float, int]:
    """Seconds, with those that the process takes to start, and its peak memory in bytes; the output is saved."""
    start = time.perf_counter()
    module = [sys.executable, "-m", "vampconv.bench.codec_rival"]
    child = Rival([*module, "bundle", part, str(folder), str(folder / f"{part}.npy")])
    return time.perf_counter() - start, child.end()


def compare(part: str, folder: Path, frames: int, hop: int, *, last: bool) -> str:
    """How one end of the output agrees with the graph on these frames alone, but for those that see beyond them."""
    path = folder / "bundle" / f"{part}.onnx"
    before, after = (hop, 1) if part == "encoder" else (1, hop)
    x = np.load(folder / f"{INPUTS[part]}.npy", mmap_mode="r")
    y = np.load(folder / f"{part}.npy", mmap_mode="r")
    excerpt = np.ascontiguousarray(_end(x, frames * before, last=last))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole = np.asarray(session.run(None, {INPUTS[part]: excerpt})[0])
    seen = math.ceil(receptive_field(path).context / before)
    kept = (frames - seen) * after
    if kept <= 0:
        raise click.BadParameter(f"{frames} frames are no more than the {seen} that see beyond them")
    return agreement(_end(y, kept, last=last), _end(whole, kept, last=last))


def _end(x: Array, count: int, *, last: bool) -> Array:
    return x[..., -count:] if last else x[..., :count]


if __name__ == "__main__":
    main()
