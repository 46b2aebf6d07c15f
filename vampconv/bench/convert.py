"""``python -m vampconv.bench.convert``: a conversion at full size, next to ``cp`` and to torch's exporter."""

from __future__ import annotations

import platform
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vampconv.bench.process import Measurement, measure, medians, take_turns

EXPORTER = "torch.onnx.export(dynamo=True)"


@click.command()
@click.option("--layers", default=20, show_default=True, help="Layers of the coarse model.")
@click.option("--rounds", default=5, show_default=True, help="Runs of cp and vampconv.")
@click.option(
    "--exporter-rounds", default=1, show_default=True, help="Runs of torch.onnx.export; 0 leaves it out."
)
@click.option("--directory", type=click.Path(path_type=Path), help="Where to work [a temporary directory].")
def main(layers: int, rounds: int, exporter_rounds: int, directory: Path | None) -> None:
    """Convert a coarse model with random weights; print time and peak memory of whole processes."""
    with tempfile.TemporaryDirectory(dir=directory) as work:
        folder = Path(work)
        measure([sys.executable, "-m", "vampconv.bench.checkpoints", work, str(layers)])
        coarse, half, codec = (folder / name for name in ("coarse.pth", "half.pth", "codec.pth"))
        out = str(folder / "out")
        ours = [sys.executable, "-m", "vampconv", "convert", "--codec", str(codec), "-o", out]
        commands = {
            "cp": ["cp", str(coarse), out],
            "vampconv convert": [*ours, str(coarse)],
            "vampconv convert, half the layers": [*ours, str(half)],
            EXPORTER: [
                sys.executable,
                "-m",
                "vampconv.bench.exporter",
                str(coarse),
                str(codec),
                f"{out}.onnx",
            ],
        }
        counts = {name: exporter_rounds if name == EXPORTER else rounds for name in commands}
        clean = ["rm", "-rf", out, f"{out}.onnx", f"{out}.onnx.data"]
        results = take_turns(commands, counts, clean)
        size = coarse.stat().st_size
    show({name: runs for name, runs in results.items() if runs}, size, layers)


def show(results: dict[str, list[Measurement]], size: int, layers: int) -> None:
    """Print medians, ratios to cp, and peak memory."""
    console = Console(width=120)
    copy = medians(results["cp"]).seconds
    title = f"{layers} layers, {size / 1e9:.2f} GB, {platform.machine()}, torch {version('torch')}"
    table = Table("process", "median s", "all runs, s", "× cp", "peak MB", title=title, title_justify="left")
    for name, runs in results.items():
        median = medians(runs)
        every = " ".join(f"{r.seconds:.2f}" for r in runs)
        peak = f"{median.peak_bytes / 1e6:.0f}"
        table.add_row(name, f"{median.seconds:.2f}", every, f"{median.seconds / copy:.1f}", peak)
    console.print(table)


if __name__ == "__main__":
    main()
