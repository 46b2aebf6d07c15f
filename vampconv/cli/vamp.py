"""``vampconv vamp``."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from vampconv.cli.common import PATH, console, print_json
from vampconv.cli.vamp_options import mask_options, options_of, preset_option, presets_help, sampling_options
from vampconv.errors import UsageError

if TYPE_CHECKING:
    from vampconv.play.request import Request
    from vampconv.play.result import Result
    from vampconv.runtime.audio.levels import Levels


@click.command(short_help="Vamp a file of audio into another.")
@click.argument("audio", type=PATH, required=False, metavar="[IN]")
@click.option("-o", "--output", type=PATH, help="File to write: .wav (32-bit float), .flac (24 bits), .ogg.")
@click.option(
    "--bundle", type=PATH, help="The converted models [the bundle in or right under this directory]."
)
@preset_option
@click.option("--seed", type=int, help="Of all randomness [a new one, which is told].")
@click.option(
    "--variations", type=int, default=1, show_default=True, help="Files to make, with a seed each: -1, -2, …"
)
@click.option(
    "--batch-size", type=int, default=1, help="Files to make in one batch, as the original does [1]."
)
@mask_options
@sampling_options
@click.option("--stereo", is_flag=True, help="Vamp each channel, with the same mask and draws [their mean].")
@click.option("--loudness", type=float, default=-24.0, show_default=True, help="LUFS that IN is brought to.")
@click.option("--gain", type=float, help="Factor that IN is multiplied by instead.")
@click.option("--from-tokens", "tokens", type=PATH, metavar="FILE", help="Vamp saved tokens, instead of IN.")
@click.option("--save-tokens", "tokens_output", type=PATH, metavar="FILE.npz", help="Write the tokens, too.")
@click.option("--plot", type=PATH, metavar="FILE", help="Draw tokens, mask and spectra: .png, .svg, .html.")
@click.option("--stream", "streamed", is_flag=True, help="Write WAV to stdout as it is made, instead of -o.")
@click.option("--force", is_flag=True, help="Replace files that are there.")
@click.option("--threads", type=click.IntRange(1), help="Of each model [as many as there are processors].")
@click.option("--check/--no-check", "check_hashes", default=True, help="Compare the bundle's hashes [yes].")
@click.option("--json", "as_json", is_flag=True, help="Print what came out as JSON.")
def vamp(*, streamed: bool, as_json: bool, **options: Any) -> None:
    """Vamp IN: make parts of it anew, and keep the rest.

    IN is audio of any format that libsndfile reads. It is mixed to mono; tokens that the mask does not keep are made
    anew by the models.
    """
    if streamed == (options["output"] is not None):
        raise UsageError("there is not one place for the result", "give -o FILE or --stream")
    if streamed and as_json:
        raise UsageError("--stream and --json both write to stdout", "leave one of them out")
    request = request_of(options)
    if streamed:
        _stream(request)
        return
    from vampconv.play.perform import perform

    with telling() as tell:
        result = perform(request, tell)
    warn(result.warnings)
    if as_json:
        print_json(result.as_json())
    else:
        show(console(), result)


def request_of(options: dict[str, Any]) -> Request:
    """What the options ask for."""
    from vampconv.play.request import Request
    from vampconv.runtime.bundle import find_bundle

    return Request(**options_of(options | {"bundle": find_bundle(options["bundle"])}))


vamp.epilog = presets_help(vamp.params)


def _stream(request: Request) -> None:
    from vampconv.play.stream import stream

    if sys.stdout.isatty():
        raise UsageError("--stream writes audio, and stdout is a terminal", "pipe it into a file or a player")

    def write(content: bytes) -> None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()

    opened, seed = stream(request, write)
    warn(opened.warnings)
    sys.stderr.write(f"from {opened.told}; seed {seed}\n")


def warn(warnings: Sequence[str]) -> None:
    """Tell the user of what may not be meant."""
    for warning in warnings:
        sys.stderr.write(f"vampconv: warning: {warning}\n")


@contextmanager
def telling() -> Iterator[Callable[[str, int, int], None]]:
    """Progress on stderr, where that is a terminal: what is in work, and how much of it is done."""
    if not sys.stderr.isatty():
        yield lambda _what, _done, _all: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda what, done, of: bar.update(task, description=what, completed=done, total=of)


def show(to: Any, result: Result) -> None:
    """Print what was done and what came out."""
    from rich.markup import escape
    from rich.table import Table

    to.print(escape(f"from {result.source}"))
    names = ("", "seed", "seconds", "LUFS", "peak dB", "RMS dB", "silence", "kept", "as before")
    table = Table(*names, title_justify="left")
    if result.before is not None:
        table.add_row("input", "", *numbers(result.before))
    for output in result.outputs:
        shares = f"{output.kept:.1%}", f"{output.same:.1%}"
        table.add_row(escape(str(output.file)), str(output.seed), *numbers(output.levels), *shares)
    to.print(table)
    for path in result.more:
        to.print(escape(f"wrote {path}"))
    facts = result.facts
    to.print(
        f"{facts['time_steps']} steps of {facts['codebooks']} codebooks, in chunks of "
        f"{facts['coarse_chunk_steps']} (coarse) and {facts['c2f_chunk_steps']} (coarse to fine)"
    )
    took = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in result.seconds.items())
    to.print(f"took {sum(result.seconds.values()):.2f} s: {took}")


def numbers(levels: Levels) -> list[str]:
    """Levels, as the table shows them."""
    shown = (levels.seconds, levels.loudness, levels.peak_db, levels.rms_db)
    return [*(f"{number:.2f}" for number in shown), f"{levels.silence:.0%}"]
