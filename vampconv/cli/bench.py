"""``vampconv bench``."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, Names, ParamType, console, require_extra
from vampconv.cli.convert import convert
from vampconv.errors import UsageError

RIVALS = ("reference", "exporter", "exporter-int8")
PARTS = ("convert", "coarse", "c2f", "decoder", "encoder", "vamp")


class Variant(ParamType[tuple[str, str]]):
    """A precision, with a target after a colon."""

    name = "PRECISION[:TARGET]"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        if not isinstance(value, str):
            return value
        precision, _, target = value.partition(":")
        if precision not in precisions():
            self.fail(f"there is no precision {precision!r}; there are {', '.join(precisions())}", param, ctx)
        return precision, target or "portable"


def precisions() -> list[str]:
    """Those that `vampconv convert` knows."""
    option = next(p for p in convert.params if p.name == "precision")
    assert isinstance(option.type, click.Choice)
    return list(option.type.choices)


@click.command()
@click.argument("bundles", type=PATH, nargs=-1, metavar="[BUNDLE]...")
@click.option("--full-size", is_flag=True, help="Models as large as the trained ones [small ones].")
@click.option(
    "--against",
    type=Names(RIVALS),
    default=",".join(RIVALS[:2]),
    show_default=True,
    help=f"Of {','.join(RIVALS)}, or none.",
)
@click.option("--parts", type=Names(PARTS), default="", help=f"Of {','.join(PARTS)} [all but c2f].")
@click.option("--seconds", type=click.FloatRange(0, min_open=True), default=10.0, show_default=True)
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Runs of each, in turn.")
@click.option("--steps", type=click.IntRange(1), default=12, show_default=True, help="Of the coarse model.")
@click.option("--threads", type=click.IntRange(1), help="Of each [as many as there are processors].")
@click.option(
    "--variant",
    "variants",
    type=Variant(),
    multiple=True,
    help="Of the random models' bundles [fp32, and int8 for ONNX Runtime].",
)
@click.option("--checkpoint", "checkpoints", type=PATH, multiple=True, help="Of BUNDLE [by hash, nearby].")
@click.option("--directory", type=PATH, help="Where to make models [where temporary files go].")
@click.option("--json", "json_file", type=PATH, help="Write the result as JSON.")
@click.option("--plot", type=PATH, help="Also run other lengths and sizes, and draw: .png, .svg, .html.")
def bench(
    *, full_size: bool, json_file: Path | None, plot: Path | None, variants: tuple[Any, ...], **options: Any
) -> None:
    """Measure bundles next to PyTorch and its exporter, and next to their matrix products alone.

    All take turns. Without BUNDLE models with random weights are made.
    """
    if options["bundles"] and (full_size or variants):
        raise UsageError("--full-size and --variant make models, and BUNDLE is one", "leave one of them out")
    if options["against"] or not options["bundles"]:
        require_extra("a benchmark against PyTorch")
    from vampconv.bench.bench import Request, check
    from vampconv.bench.bench import bench as measure
    from vampconv.bench.checkpoints import FULL, SMALL
    from vampconv.bench.making import default_variants
    from vampconv.bench.tables import show
    from vampconv.files.outputs import outputs

    if plot is not None:
        from vampconv.play.plot import require_plotting

        require_plotting(plot)
    files = [file for file in (json_file, plot) if file is not None]
    request = Request(
        size=FULL if full_size else SMALL,
        variants=variants or default_variants(precisions()),
        sweep=plot is not None,
        **options,
    )
    with outputs(files, force=True) if files else nullcontext() as writing:
        found = measure(request, telling())
        if writing is not None and json_file is not None:
            from vampconv.bench.as_json import as_json

            writing.write(json_file, (json.dumps(as_json(found), indent=1) + "\n").encode())
        if writing is not None and plot is not None:
            from vampconv.bench.plot import draw

            writing.write(plot, draw(found, plot))
    show(console(), found)
    check(found)


def telling() -> Callable[[str], None]:
    """Progress on stderr: what is going on, and since when."""
    start = time.perf_counter()

    def tell(what: str) -> None:
        sys.stderr.write(f"{time.perf_counter() - start:7.1f} s  {what}\n")
        sys.stderr.flush()

    return tell
