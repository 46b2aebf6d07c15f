"""``vampconv optimize``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, console, print_json


@click.command()
@click.argument("model", type=PATH, metavar="MODEL.onnx")
@click.option("-o", "--output", type=PATH, required=True, help="Where to write the optimised model.")
@click.option("--opset", type=int, help="Convert to this ONNX opset first [that of the model].")
@click.option("--rules", type=PATH, multiple=True, help="Directory of rewrite rules to use as well.")
@click.option("--enable", multiple=True, metavar="RULE", help="Use a rule that is off by default.")
@click.option("--disable", multiple=True, metavar="RULE", help="Do not use a rule.")
@click.option("--force", is_flag=True, help="Replace a file that is there.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of the summary.")
def optimize(model: Path, rules: tuple[Path, ...], *, as_json: bool, **options: Any) -> None:
    """Rewrite an ONNX model that another exporter made; what is not known in it stays as it is.

    Rules look at the main graph and at the bodies of Loop, Scan and If, each by itself, and not at functions.
    """
    from vampconv.optimize import Request
    from vampconv.optimize import optimize as optimize_model
    from vampconv.report import show_optimized

    found = optimize_model(Request(model, rule_directories=rules, **options))
    if as_json:
        print_json(found.as_json())
    else:
        show_optimized(console(), found)
