"""``vampconv rules``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from vampconv.cli.common import PATH, console, print_json

JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


def in_use(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say which plugins are in use."""
    for option in (
        click.option("--disable", multiple=True, metavar="RULE", help="As for convert."),
        click.option(
            "--enable", multiple=True, metavar="RULE", help="As for convert; or an installed plugin."
        ),
        click.option("--rules", "directories", type=PATH, multiple=True, help="Directory of rules to add."),
    ):
        command = option(command)
    return command


@click.group()
def rules() -> None:
    """List, show, test, begin and explain rewrite rules."""


@rules.command("list")
@in_use
@JSON
def list_rules(*, as_json: bool, **switches: Any) -> None:
    """List the rules: stage, plugin, claim, on or off.

    Installed plugins that are not enabled are named, and not imported.
    """
    from vampconv.plugins import load_plugins
    from vampconv.rulebook.catalogue import catalogue, idle_plugins
    from vampconv.rulebook.terminal import show_list

    plugins = load_plugins(**switches)
    found, idle = catalogue(plugins), idle_plugins(plugins)
    if as_json:
        print_json({"rules": [r.as_json() for r in found], "not enabled": [p.as_json() for p in idle]})
    else:
        show_list(console(), found, idle)


@rules.command()
@click.argument("name")
@in_use
@JSON
def show(name: str, *, as_json: bool, **switches: Any) -> None:
    """Show a rule: its graphs before and after, guards, evidence, source."""
    from vampconv.plugins import load_plugins
    from vampconv.rulebook.catalogue import find_rule
    from vampconv.rulebook.portrait import portray
    from vampconv.rulebook.terminal import show_rule

    portrait = portray(find_rule(load_plugins(**switches), name))
    if as_json:
        print_json(portrait.as_json())
    else:
        show_rule(console(), portrait)


@rules.command()
@click.argument("what", required=False, metavar="[NAME|DIR]")
@in_use
@JSON
def test(what: str | None, *, as_json: bool, **switches: Any) -> None:
    """Audit one rule, those of a directory, or all that there are."""
    from vampconv.plugins import directory_rules, load_plugins
    from vampconv.rulebook.catalogue import find_rule
    from vampconv.rulebook.terminal import show_test
    from vampconv.rulebook.testing import refuted, test_rules

    if what is not None and Path(what).is_dir():
        chosen = directory_rules(Path(what))
    else:
        plugins = load_plugins(**switches)
        chosen = plugins.rules if what is None else [find_rule(plugins, what)]
    results = list(test_rules(chosen))
    if as_json:
        print_json([r.as_json() for r in results])
    else:
        show_test(console(), results)
    if (error := refuted(results)) is not None:
        raise error


@rules.command()
@click.argument("name")
@click.argument("directory", type=PATH, metavar="DIR")
def new(name: str, directory: Path) -> None:
    """Write a rule to start from, with evidence that bears it out, to a file in DIR."""
    from vampconv.plugins import load_plugins
    from vampconv.rulebook.skeleton import write_skeleton

    taken = [rule.__name__ for rule in load_plugins().rules]
    click.echo(f"wrote {write_skeleton(name, directory, taken)}")


@rules.command()
@click.argument("bundle", type=PATH)
@click.argument("what", metavar="NODE|TENSOR")
@in_use
@JSON
def explain(bundle: Path, what: str, *, as_json: bool, **switches: Any) -> None:
    """Say which rules made a node or tensor of a bundle, from which module and checkpoint tensors.

    WHAT is the name of a node, a value, a weight, a checkpoint's tensor or a module; PART:NAME looks in one model.
    """
    from vampconv.plugins import load_plugins
    from vampconv.rulebook.explain import explain as explain_name
    from vampconv.rulebook.terminal import show_explanation

    found = explain_name(bundle, what, load_plugins(**switches).rules)
    if as_json:
        print_json([e.as_json() for e in found])
    else:
        show_explanation(console(), found)
