"""The command line: what can be asked for; results on stdout, progress and errors on stderr."""

from __future__ import annotations

import sys
from typing import NoReturn

import click

from vampconv import __version__
from vampconv.cli.bench import bench
from vampconv.cli.calibrate import calibrate
from vampconv.cli.convert import convert
from vampconv.cli.inspect import inspect
from vampconv.cli.optimize import optimize
from vampconv.cli.rules import rules
from vampconv.cli.vamp import vamp
from vampconv.cli.verify import verify
from vampconv.process import run

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=CONTEXT, no_args_is_help=False)
@click.version_option(__version__, "-V", "--version", prog_name="vampconv", message="%(prog)s %(version)s")
def cli() -> None:
    """Compile VampNet checkpoints to ONNX, account for every tensor, and play them."""


for _command in (convert, verify, vamp, inspect, optimize, calibrate, bench, rules):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and exit."""
    sys.exit(run(cli, arguments))
