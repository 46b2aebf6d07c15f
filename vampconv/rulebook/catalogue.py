"""Which rules there are: those of the plugins in use, and the installed plugins that are not."""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from vampconv.errors import UsageError
from vampconv.plugins import Plugins, installed
from vampconv.rewrite import Rule


@dataclass(frozen=True)
class RuleEntry:
    """A rule, and whether it is used."""

    name: str
    stage: str
    plugin: str
    claim: str
    on: bool
    doc: str

    def as_json(self) -> dict[str, Any]:
        return vars(self)


@dataclass(frozen=True)
class IdlePlugin:
    """An installed plugin that is not enabled; of it nothing is known but what its distribution says."""

    name: str
    module: str
    distribution: str
    version: str

    def as_json(self) -> dict[str, Any]:
        return vars(self)


def catalogue(plugins: Plugins) -> list[RuleEntry]:
    """All rules: those that are on in the order in which they are tried, then the others."""
    selected = plugins.selected
    rest = [rule for rule in plugins.rules if rule not in selected]
    return [
        RuleEntry(
            rule.__name__,
            rule.stage.label,
            str(plugins.source_of(rule)),
            str(rule.claim),
            rule in selected,
            first_line(rule),
        )
        for rule in (*selected, *rest)
    ]


def idle_plugins(plugins: Plugins) -> list[IdlePlugin]:
    """Installed plugins that are not in use, without importing them."""
    used = {source.name for source in plugins.loaded}
    return [
        IdlePlugin(p.name, p.module, p.distribution, p.version) for p in installed() if p.name not in used
    ]


def find_rule(plugins: Plugins, name: str) -> type[Rule]:
    """The rule of this name, on or off.

    Raises
    ------
    UsageError
        If there is none; with the nearest name.

    """
    by_name = {rule.__name__: rule for rule in plugins.rules}
    if name not in by_name:
        near = get_close_matches(name, by_name, n=1)
        idle = [p.name for p in idle_plugins(plugins)]
        hint = f"the installed plugins {', '.join(idle)} are not enabled; " if idle else ""
        raise UsageError(
            f"there is no rule {name}",
            f"{hint}did you mean {near[0]}?" if near else f"{hint}see vampconv rules list",
        )
    return by_name[name]


def first_line(rule: type[Rule]) -> str:
    """What the rule's docstring begins with."""
    return (rule.__doc__ or "").strip().split("\n", 1)[0]
