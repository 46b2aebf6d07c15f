"""``python -m vampconv.bench.mutations fixtures/golden``: faults put into converted models, and who finds them."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import torch
from rich.console import Console
from rich.progress import Progress

from vampconv.bench.mutations.clean import clean_runs
from vampconv.bench.mutations.goldens import MODELS, Goldens
from vampconv.bench.mutations.suite import plans, run
from vampconv.bench.mutations.tables import as_json, missed, show, show_clean

DEFAULT = 600
PARTS = sorted({model.part for model in MODELS})


@click.command()
@click.argument("golden", type=click.Path(path_type=Path, exists=True), default=Path("fixtures/golden"))
@click.option("--seed", default=0, show_default=True, help="Chooses the places of the faults.")
@click.option("--count", default=DEFAULT, show_default=True, help="Mutants; 0 for each family in each model.")
@click.option("--part", type=click.Choice(PARTS), help="Mutants of this part only.")
@click.option("--only", default="", help="Families with this in their chapter or name.")
@click.option("--json", "file", type=click.Path(path_type=Path), help="Write all outcomes to this file.")
@click.option("--clean", default=0, show_default=True, help="Verifications of models without a fault.")
def main(
    golden: Path, seed: int, count: int, part: str | None, only: str, file: Path | None, clean: int
) -> None:
    """Verify mutants of the golden models; exit status 1 if too few are caught, or placed right."""
    torch.set_num_threads(1)
    console, progress = Console(width=160), Progress(console=Console(stderr=True), transient=True)
    chosen = plans(seed, count or None, part=part or "", only=only)
    with Goldens(golden) as goldens, progress:
        task = progress.add_task("mutants", total=len(chosen))
        outcomes = list(run(goldens, chosen, lambda: progress.advance(task)))
        task = progress.add_task("clean runs", total=clean)
        runs = list(clean_runs(goldens, clean, seed, lambda: progress.advance(task)))
    show(console, outcomes)
    show_clean(console, runs)
    if file:
        file.write_text(as_json(outcomes, runs), encoding="utf-8")
    problems = missed(outcomes, runs, whole=count >= DEFAULT and not part and not only)
    for problem in problems:
        console.print(f"missed: {problem}", highlight=False)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
