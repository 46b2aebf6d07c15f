"""The command line: what can be asked for; results on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

import click

from vampconv import __version__
from vampconv.errors import UsageError, VerificationError
from vampconv.opsets import OLDEST
from vampconv.process import run

PATH = click.Path(path_type=Path, readable=False)
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Sizes(click.ParamType[Sequence[int]]):
    """Whole numbers with commas between them."""

    name = "n,n,…"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Sequence[int]:
        if not isinstance(value, str):
            return value
        try:
            return [int(size) for size in value.split(",")]
        except ValueError:
            self.fail(f"{value!r} is not a list of whole numbers like 1,13,100", param, ctx)


@click.group(context_settings=CONTEXT, no_args_is_help=False)
@click.version_option(__version__, "-V", "--version", prog_name="vampconv", message="%(prog)s %(version)s")
def cli() -> None:
    """Compile VampNet checkpoints to ONNX, and account for every tensor."""


@cli.command()
@click.argument("checkpoints", nargs=-1, required=True, type=PATH, metavar="CKPT...")
@click.option("-o", "--output", type=PATH, help="Directory of the bundle [<stem of the first>-onnx].")
@click.option("--codec", type=PATH, help="Codec that lends its tables [found beside the transformer].")
@click.option(
    "--lora", "loras", type=PATH, multiple=True, help="LoRA fine-tune, over the model that it fits."
)
@click.option("--target", type=click.Choice(["portable"]), default="portable", show_default=True)
@click.option("--precision", type=click.Choice(["fp32"]), default="fp32", show_default=True)
@click.option("--opset", type=int, default=OLDEST, show_default=True, help=f"ONNX opset, {OLDEST} or newer.")
@click.option("--rules", type=PATH, multiple=True, help="Directory of rewrite rules to use as well.")
@click.option("--enable", multiple=True, metavar="RULE", help="Use a rule that is off by default.")
@click.option("--disable", multiple=True, metavar="RULE", help="Do not use a rule.")
@click.option("--verify", "verified", is_flag=True, help="Write only what a quick verification finds right.")
@click.option("--dry-run", is_flag=True, help="Do everything but write.")
@click.option("--force", is_flag=True, help="Replace the bundle that is there.")
@click.option(
    "--add", is_flag=True, help="Replace the same parts of the bundle that is there, keep the others."
)
@click.option("--json", "as_json", is_flag=True, help="Print the manifest instead of the summary.")
def convert(
    checkpoints: tuple[Path, ...],
    rules: tuple[Path, ...],
    precision: str,
    *,
    as_json: bool,
    verified: bool,
    **options: Any,
) -> None:
    """Convert checkpoints of one VampNet (and its codec) to a bundle of ONNX models.

    What a checkpoint is, is told from its content; a directory stands for the checkpoints in it.
    """
    del precision
    from vampconv.convert import Request
    from vampconv.convert import convert as convert_checkpoints
    from vampconv.opsets import check_opset
    from vampconv.report import show_conversion

    check_opset(options["opset"])
    if verified:
        options["check"] = quick_check(rules, dry_run=options["dry_run"])
    with progress("converting") as advance:
        conversion = convert_checkpoints(Request(checkpoints, rule_directories=rules, **options), advance)
    if as_json:
        print_json(conversion.manifest)
    else:
        show_conversion(console(), conversion)


@cli.command()
@click.argument("bundle", type=PATH, required=False)
@click.option(
    "--against", type=PATH, multiple=True, metavar="CKPT", help="Checkpoint of it [by hash, nearby]."
)
@click.option("--layerwise", is_flag=True, help="Compare every value, not the outputs only.")
@click.option("--lengths", type=Sizes(), default="1,13,100", show_default=True, help="Time steps.")
@click.option("--batches", type=Sizes(), default="1,2", show_default=True)
@click.option("--seeds", type=int, default=1, show_default=True, help="Random inputs of each size.")
@click.option("--audio", type=PATH, help="Encode and decode a file by both, into WAV files side by side.")
@click.option("--bisect", is_flag=True, help="Name the rule at fault, and cut out the faulty layer.")
@click.option("--rules", "rule_directories", type=PATH, multiple=True, help="Rules that it was made with.")
@click.option("--json", "json_file", type=PATH, help="Write the result as JSON.")
@click.option("--html", "html_file", type=PATH, help="Write a report for people.")
@click.option("--junit", "junit_file", type=PATH, help="Write the result for CI systems.")
def verify(
    bundle: Path | None,
    json_file: Path | None,
    html_file: Path | None,
    junit_file: Path | None,
    **options: Any,
) -> None:
    """Compare a bundle, value by value, with the checkpoints that it was made from.

    The bundle is the one in or right under this directory, unless it is given.
    """
    require_torch()
    from vampconv.verify import report
    from vampconv.verify.verify import Request
    from vampconv.verify.verify import verify as verify_bundle

    written = next((f for f in (html_file, json_file) if f is not None), Path("here"))
    request = Request(bundle, audio_directory=written.parent, **options)
    with progress("verifying", counted=True) as advance:
        found = verify_bundle(request, advance)
    writers = (
        (json_file, report.write_json),
        (html_file, report.write_html),
        (junit_file, report.write_junit),
    )
    for file, write in writers:
        if file is not None:
            write(found, file)
    report.show(console(), found, layerwise=options["layerwise"])
    if found.verdict is found.verdict.FAIL:
        raise VerificationError(f"{found.bundle} does not compute what its checkpoints do", "see above")


@cli.command()
@click.argument("path", type=PATH, metavar="CKPT|BUNDLE")
@click.option("--run", "runs", is_flag=True, help="Run the models of a bundle on random input instead.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(path: Path, *, runs: bool, as_json: bool) -> None:
    """Show a checkpoint or a bundle: architecture, tensors, their fate and statistics, graph, rules fired."""
    from vampconv import report
    from vampconv.inspect.bundle import inspect_bundle, try_run
    from vampconv.inspect.checkpoint import inspect_checkpoint

    is_bundle = path.is_dir()
    if runs and not is_bundle:
        raise UsageError(f"--run: {path} is not a bundle", "convert it first")
    if runs:
        facts: Any = try_run(path)
        show: Callable[..., None] = report.show_runs
    elif is_bundle:
        facts, show = inspect_bundle(path), report.show_bundle
    else:
        facts, show = inspect_checkpoint(path), report.show_checkpoint
    if as_json:
        print_json(facts)
    else:
        show(console(), facts)


def console() -> Any:
    """A rich console on stdout, wide enough for tables where it is not a terminal."""
    from rich.console import Console

    return (
        Console(highlight=False, soft_wrap=True)
        if sys.stdout.isatty()
        else Console(highlight=False, width=160)
    )


def print_json(content: Any) -> None:
    """Write JSON to stdout."""
    sys.stdout.write(json.dumps(content, indent=1) + "\n")


def quick_check(rules: Sequence[Path], *, dry_run: bool) -> Callable[..., None]:
    """What ``--verify`` does before a bundle is put in place."""
    if dry_run:
        raise UsageError("--verify looks at the files, and --dry-run writes none", "leave one of them out")
    require_torch()
    from vampconv.verify.verify import quick

    return partial(quick, rules=rules)


def require_torch() -> None:
    """Raise an error if PyTorch is not installed."""
    if find_spec("torch") is None:
        raise UsageError("verification needs PyTorch", "pip install 'vampconv[verify]'")


@contextmanager
def progress(what: str, *, counted: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on stderr, where that is a terminal: of bytes, or of things that are `counted`."""
    if not sys.stderr.isatty():
        yield lambda _done, _total: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    amount = MofNCompleteColumn() if counted else DownloadColumn()
    columns = (TextColumn("{task.description}"), BarColumn(), amount, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(cli, arguments))
