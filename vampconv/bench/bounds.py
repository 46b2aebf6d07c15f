"""``python -m vampconv.bench.bounds``: the memory that reading and converting models of any size take, under limits.

The limit is that of ``ulimit -d``: data and private memory, whether it is touched or not, without the libraries and
files that are mapped. What is told is the peak of the resident set, libraries included.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from vampconv.bench.process import Run, measure
from vampconv.files.disk import require_room

LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_DATA, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""
READING = """
import sys
from pathlib import Path
from vampconv.checkpoint import open_checkpoint
with open_checkpoint(Path(sys.argv[1])) as checkpoint:
    for tensor in checkpoint.tensors.values():
        tensor.read()
    checkpoint.verify()
    checkpoint.sha256()
"""
READING_LIMIT, CONVERTING_LIMIT = 200_000_000, 500_000_000
"""Bytes of resident memory."""


def limited(command: Sequence[str], limit: int) -> list[str]:
    """A command of Python under a limit of private memory."""
    return [sys.executable, "-c", LIMITED, str(limit), sys.executable, *command]


def reading(checkpoint: Path) -> Run:
    """Read every tensor of a checkpoint, and every checksum."""
    return measure(limited(["-c", READING, str(checkpoint)], READING_LIMIT))


def converting(folder: Path) -> Run:
    """Convert a checkpoint with its codec's tables."""
    paths = [str(folder / "coarse.pth"), "--codec", str(folder / "codec.pth"), "-o", str(folder / "out")]
    return measure(limited(["-m", "vampconv", "convert", *paths], CONVERTING_LIMIT))


def checking(folder: Path) -> Run:
    """Compare the bundle with its hashes."""
    return measure(limited(["-m", "vampconv", "inspect", str(folder / "out"), "--check"], CONVERTING_LIMIT))


@click.command()
@click.option("--gigabytes", "sizes", type=float, multiple=True, default=(2, 6), show_default=True)
@click.option("--directory", type=click.Path(path_type=Path), help="Where to work [a temporary directory].")
def main(sizes: Sequence[float], directory: Path | None) -> None:
    """Read and convert models; exit status 1 if one takes more memory than it may."""
    names = ("checkpoint, GB", "bundle, GB", "largest graph, MB", "process", "s", "peak MB", "may take")
    table, failed = Table(*names), False
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=directory) as work:
            folder = Path(work)
            require_room(folder, int(size * 1.1e9))
            measure([sys.executable, "-m", "vampconv.bench.large_checkpoints", work, str(int(size * 1e9))])
            checkpoint = folder / "coarse.pth"
            runs = {
                "reading": (reading(checkpoint), READING_LIMIT),
                "vampconv convert": (converting(folder), CONVERTING_LIMIT),
                "vampconv inspect --check": (checking(folder), CONVERTING_LIMIT),
            }
            written = [p.stat().st_size for p in (folder / "out").iterdir()]
            graphs = [p.stat().st_size for p in (folder / "out").glob("*.onnx")]
            shown = (checkpoint.stat().st_size / 1e9, sum(written) / 1e9, max(graphs) / 1e6)
        for name, (run, most) in runs.items():
            failed |= run.peak_bytes > most
            figures = (f"{run.seconds:.1f}", f"{run.peak_bytes / 1e6:.0f}", f"{most / 1e6:.0f}")
            table.add_row(*(f"{s:.2f}" for s in shown), name, *figures)
    Console(width=120).print(table)
    sys.exit(failed)


if __name__ == "__main__":
    main()
