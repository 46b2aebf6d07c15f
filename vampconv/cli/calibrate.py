"""``vampconv calibrate``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, console, print_json, progress


@click.command()
@click.argument("checkpoints", nargs=-1, required=True, type=PATH, metavar="CKPT...")
@click.option("-o", "--output", type=PATH, help="Keep-list to write, for `convert --keep-list`.")
@click.option("--codec", type=PATH, help="Codec that lends its tables [found beside the transformer].")
@click.option(
    "--lora", "loras", type=PATH, multiple=True, help="LoRA fine-tune, over the model that it fits."
)
@click.option("--target", default="portable", show_default=True, help="What the models are compiled for.")
@click.option("--precision", default="int8", show_default=True)
@click.option("--audio", type=PATH, help="Music to take tokens of, by the codec given [tokens are drawn].")
@click.option("--steps", type=int, default=192, show_default=True, help="Time steps of an input.")
@click.option("--seeds", type=int, default=2, show_default=True, help="Inputs, each masked in three ways.")
@click.option("--limit", type=float, default=3e-4, show_default=True, help="Divergence to come to, in nats.")
@click.option("--by-layer", is_flag=True, help="Try whole layers, not each product.")
@click.option("--threads", type=int, help="Of ONNX Runtime.")
@click.option(
    "--rules", "rule_directories", type=PATH, multiple=True, help="Directory of rules to use as well."
)
@click.option("--enable", multiple=True, metavar="NAME", help="Use an installed plugin, or a rule.")
@click.option("--disable", multiple=True, metavar="NAME", help="Do not use a rule.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the tables.")
def calibrate(checkpoints: tuple[Path, ...], output: Path | None, *, as_json: bool, **options: Any) -> None:
    """Measure what a precision costs in each product with a weight, one at a time, against float32.

    What costs most is kept in float32 until the divergence is within the limit.
    """
    from vampconv.calibrate import Request
    from vampconv.calibrate import calibrate as calibrate_checkpoints
    from vampconv.convert.keep_list import write_keep_list
    from vampconv.report import show_calibration

    with progress("calibrating", counted=True) as advance:
        found = calibrate_checkpoints(Request(checkpoints, **options), advance)
    if output is not None:
        write_keep_list(output, {c.part: c.kept for c in found})
    if as_json:
        print_json([c.as_json() for c in found])
    else:
        for calibration in found:
            show_calibration(console(), calibration)
