"""``vampconv convert``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from vampconv.cli.common import PATH, console, print_json, progress, require_extra
from vampconv.errors import UsageError
from vampconv.opsets import OLDEST

if TYPE_CHECKING:
    from vampconv.convert import Conversion
    from vampconv.convert.conversion import Check


@click.command()
@click.argument("checkpoints", nargs=-1, required=True, type=PATH, metavar="CKPT...")
@click.option("-o", "--output", type=PATH, help="Directory of the bundle [<stem of the first>-onnx].")
@click.option("--codec", type=PATH, help="Codec that lends its tables [found beside the transformer].")
@click.option(
    "--lora", "loras", type=PATH, multiple=True, help="LoRA fine-tune, over the model that it fits."
)
@click.option("--target", default="portable", show_default=True, help="What the models are compiled for.")
@click.option(
    "--precision",
    type=click.Choice(["fp32", "fp16", "int8", "int4"]),
    default="fp32",
    show_default=True,
    help="Of the transformers' products with weights.",
)
@click.option(
    "--keep",
    multiple=True,
    metavar="fp32:PATTERN",
    help="Modules that stay in float32, as [PART/]PATH, with * and ?.",
)
@click.option(
    "--keep-list",
    "keep_lists",
    type=PATH,
    multiple=True,
    help="File of such modules, as calibrate writes it.",
)
@click.option("--opset", type=int, default=OLDEST, show_default=True, help=f"ONNX opset, {OLDEST} or newer.")
@click.option("--rules", type=PATH, multiple=True, help="Directory of rewrite rules to use as well.")
@click.option(
    "--enable",
    multiple=True,
    metavar="NAME",
    help="Use an installed plugin, or a rule that is off by default.",
)
@click.option("--disable", multiple=True, metavar="NAME", help="Do not use a rule, or the rules of a plugin.")
@click.option("--verify", "verified", is_flag=True, help="Write only what a quick verification finds right.")
@click.option("--audit", is_flag=True, help="Check every firing of every rule on the weights that it met.")
@click.option(
    "--loop/--no-loop", "loops", default=True, help="Write the sampling loops as graphs, too [yes]."
)
@click.option("--dry-run", is_flag=True, help="Do everything but write.")
@click.option("--force", is_flag=True, help="Replace the bundle that is there.")
@click.option(
    "--add", is_flag=True, help="Replace the same parts of the bundle that is there, keep the others."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest instead of the summary.")
def convert(
    checkpoints: tuple[Path, ...],
    rules: tuple[Path, ...],
    keep: tuple[str, ...],
    keep_lists: tuple[Path, ...],
    *,
    as_json: bool,
    verified: bool,
    **options: Any,
) -> None:
    """Convert checkpoints of one VampNet (and its codec) to a bundle of ONNX models.

    What a checkpoint is, is told from its content; a directory stands for the checkpoints in it.
    """
    from vampconv.convert import Request
    from vampconv.convert import convert as convert_checkpoints
    from vampconv.convert.keep_list import read_keep_list
    from vampconv.opsets import check_opset
    from vampconv.report import show_conversion

    check_opset(options["opset"])
    options["keep"] = [*map(kept_pattern, keep), *(p for path in keep_lists for p in read_keep_list(path))]
    if verified:
        options["check"] = quick_check(dry_run=options["dry_run"])
    with progress("converting") as advance:
        conversion = convert_checkpoints(Request(checkpoints, rule_directories=rules, **options), advance)
    if as_json:
        print_json(conversion.manifest | audit_facts(conversion))
    else:
        show_conversion(console(), conversion)


def kept_pattern(option: str) -> str:
    """The pattern in ``fp32:PATTERN``."""
    precision, _, pattern = option.partition(":")
    if precision != "fp32" or not pattern:
        raise UsageError(f"--keep {option} is not fp32:PATTERN", "as in --keep 'fp32:*.feed_forward.w_2'")
    return pattern


def audit_facts(conversion: Conversion) -> dict[str, Any]:
    """What ``--audit`` adds to the manifest where that is printed; it is not part of the bundle."""
    if conversion.audit is None:
        return {}
    return {"audit": {part: [r.as_json() for r in records] for part, records in conversion.audit.items()}}


def quick_check(*, dry_run: bool) -> Check:
    """What ``--verify`` does before a bundle is put in place."""
    if dry_run:
        raise UsageError("--verify looks at the files, and --dry-run writes none", "leave one of them out")
    require_extra()
    from vampconv.verify.verify import quick

    return quick
