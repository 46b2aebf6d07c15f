"""``python -m vampconv.bench.long_audio``: a long file through the runtime at full size: memory, and what comes out."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import Any

import click
import numpy as np
import onnxruntime
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from vampconv.bench.agreement import agreement, told
from vampconv.bench.checkpoints import Size, make
from vampconv.bench.contestant import Spec
from vampconv.bench.rival import Rival
from vampconv.convert import Request, convert
from vampconv.runtime.receptive_field import receptive_field
from vampconv.runtime.session import processors

Array = NDArray[Any]
PARTS = ("encoder", "decoder")


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="Length of the audio.")
@click.option("--excerpt", default=10.0, show_default=True, help="Seconds at either end that also run whole.")
@click.option("--width", default=1, show_default=True, help="Divide all channels by this, to try it out.")
@click.option("--part", "parts", type=click.Choice(PARTS), multiple=True, help="Only this one.")
def main(minutes: float, excerpt: float, width: int, parts: tuple[str, ...]) -> None:
    """Encode and decode in a process each; print time, peak memory and how the ends compare with a whole run."""
    table = Table("", "seconds", "× real time", "peak MB", "first as whole", "last as whole")
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        make(folder, Size(width=width), ["codec.pth"])
        convert(Request([folder / "codec.pth"], folder / "bundle"))
        for part in parts or PARTS:
            spec = Spec("ours", part, str(folder / "bundle"), processors())
            with Rival(spec.command()) as rival:
                run = rival.run(60 * minutes)
                rival.save(folder / f"{part}.npy")
            (given,) = spec.inputs(60 * minutes).values()
            made = np.load(folder / f"{part}.npy", mmap_mode="r")
            frames = min(given.shape[-1], made.shape[-1])
            share = min(1.0, excerpt / (60 * minutes))
            count = math.ceil(frames * share)
            path = folder / "bundle" / f"{part}.onnx"
            ends = [told(compare(part, path, given, made, count, last=last)) for last in (False, True)]
            peak = f"{run.peak_bytes / 1e6:.0f}"
            table.add_row(part, f"{run.seconds:.1f}", f"{60 * minutes / run.seconds:.2f}", peak, *ends)
    Console(width=110).print(table)


def compare(part: str, path: Path, given: Array, made: Array, frames: int, *, last: bool) -> dict[str, float]:
    """How one end of an output agrees with the graph on these frames alone, but for those that see beyond them.

    Parameters
    ----------
    part
        ``encoder`` or ``decoder``.
    path
        The graph.
    given, made
        The whole input and output, one of them in frames and the other in samples along the last axis.
    frames
        How many.
    last
        Whether at the end or at the beginning.

    """
    shorter = min(given.shape[-1], made.shape[-1])
    before, after = given.shape[-1] // shorter, made.shape[-1] // shorter
    excerpt = np.ascontiguousarray(_end(given, frames * before, last=last))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    whole = np.asarray(session.run(None, {session.get_inputs()[0].name: excerpt})[0])
    seen = math.ceil(receptive_field(path).context / before)
    kept = (frames - seen) * after
    if kept <= 0:
        raise click.BadParameter(f"{frames} frames are no more than the {seen} that see beyond them")
    return agreement(part, _end(made, kept, last=last), _end(whole, kept, last=last))


def _end(x: Array, count: int, *, last: bool) -> Array:
    return x[..., -count:] if last else x[..., :count]


if __name__ == "__main__":
    main()
