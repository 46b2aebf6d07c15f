"""``python -m vampconv.bench.fuzz --count N --seed S``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from vampconv.bench.fuzz.flips import every_bit
from vampconv.bench.fuzz.run import Findings, fuzz


@click.command()
@click.option("--count", type=int, default=100_000, show_default=True, help="Mutated files.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--start", type=int, default=0, show_default=True, help="The number of the first file.")
@click.option("--bits", is_flag=True, help="Flip every bit of a tiny checkpoint instead, one at a time.")
@click.option(
    "--keep", type=click.Path(path_type=Path, file_okay=False), help="Where problems are kept as files."
)
def main(count: int, seed: int, start: int, keep: Path | None, *, bits: bool) -> None:
    """Mutate small checkpoints, and read them."""
    if keep is not None:
        keep.mkdir(parents=True, exist_ok=True)

    def tell(found: Findings) -> None:
        print(found, flush=True)  # noqa: T201

    found = every_bit(keep) if bits else fuzz(count, seed, start=start, keep=keep, tell=tell)
    tell(found)
    for problem in found.problems[:50]:
        print(problem)  # noqa: T201
    print(", ".join(f"{name} {number}" for name, number in found.mutations.most_common()))  # noqa: T201
    sys.exit(bool(found.problems))


main()
