"""``vampconv inspect``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, console, print_json
from vampconv.errors import UsageError


@click.command()
@click.argument("path", type=PATH, metavar="CKPT|BUNDLE")
@click.option("--run", "runs", is_flag=True, help="Run the models of a bundle on random input instead.")
@click.option(
    "--check", "checks", is_flag=True, help="Compare a bundle's files with the manifest's hashes instead."
)
@click.option("--rules", type=PATH, multiple=True, help="Directory of rewrite rules to use as well.")
@click.option("--enable", multiple=True, metavar="PLUGIN", help="Import an installed plugin, for its models.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of tables.")
def inspect(
    path: Path, rules: tuple[Path, ...], enable: tuple[str, ...], *, runs: bool, checks: bool, as_json: bool
) -> None:
    """Show a checkpoint or a bundle: architecture, tensors, their fate and statistics, graph, rules fired."""
    from vampconv import report
    from vampconv.inspect.bundle import inspect_bundle, try_run
    from vampconv.inspect.checkpoint import inspect_checkpoint
    from vampconv.plugins import load_plugins

    is_bundle = path.is_dir()
    if runs and checks:
        raise UsageError("--run and --check are two things to do", "leave one of them out")
    if (runs or checks) and not is_bundle:
        raise UsageError(f"--{'run' if runs else 'check'}: {path} is not a bundle", "convert it first")
    if checks:
        _check(path, as_json=as_json)
        return
    if runs:
        facts: Any = try_run(path)
        show: Callable[..., None] = report.show_runs
    elif is_bundle:
        facts, show = inspect_bundle(path), report.show_bundle
    else:
        plugins = load_plugins(directories=rules, enable=enable)
        facts, show = inspect_checkpoint(path, plugins), report.show_checkpoint
    if as_json:
        print_json(facts)
    else:
        show(console(), facts)


def _check(path: Path, *, as_json: bool) -> None:
    """Tell of every file whether it is as it was written, and fail if one is not."""
    from vampconv.inspect.check import check_bundle
    from vampconv.report import show_check

    found = check_bundle(path)
    if as_json:
        print_json(found.as_json())
    else:
        show_check(console(), found)
    if (error := found.error()) is not None:
        raise error
