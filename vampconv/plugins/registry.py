"""The plugins in use, and what they bring together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from vampconv.errors import PluginError, UsageError
from vampconv.frontend.frontend import Frontend
from vampconv.passes.pipeline import FULL, Options
from vampconv.plugins.directory import directory_version
from vampconv.plugins.installed import Installed, installed
from vampconv.plugins.plugin import Plugin
from vampconv.rewrite import Rule
from vampconv.rewrite.keep import Keep
from vampconv.rewrite.select import named, select_rules
from vampconv.rewrite.target import Target


@dataclass(frozen=True)
class Loaded:
    """A plugin in use, and where it comes from.

    Attributes
    ----------
    name
        Of the entry point, the directory, or given in-process; switches take it.
    plugin
        What it brings.
    installed
        How it is installed, if it is.
    directory
        Of ``--rules``, if it comes from there.

    """

    name: str
    plugin: Plugin
    installed: Installed | None = None
    directory: Path | None = None

    @property
    def is_builtin(self) -> bool:
        return self.installed is not None and self.installed.is_builtin

    @property
    def version(self) -> str | None:
        """Of its distribution, or made from its directory's files; None where it has none."""
        if self.installed is not None:
            return self.installed.version
        return None if self.directory is None else directory_version(self.directory)

    def as_json(self) -> dict[str, Any]:
        """Its identity for the manifest, which tells of no path."""
        facts: dict[str, Any] = {"name": self.name, "version": self.version}
        if self.installed is not None:
            facts |= {"distribution": self.installed.distribution, "module": self.installed.module}
        return facts

    def __str__(self) -> str:
        if self.directory is not None:
            return f"--rules {self.directory}"
        return str(self.installed or self.name)


@dataclass(frozen=True)
class Plugins:
    """The plugins in use, built-in ones first, with the switches that were given."""

    loaded: tuple[Loaded, ...]
    enable: Sequence[str] = ()
    disable: Sequence[str] = ()

    @cached_property
    def rules(self) -> list[type[Rule]]:
        """All their rules, on or off, in the order of the plugins.

        Raises
        ------
        PluginError
            If two have one name, or one is not whole.

        """
        return list(named(rule for source in self.loaded for rule in source.plugin.rules).values())

    @cached_property
    def selected(self) -> list[type[Rule]]:
        """The rules that are on, in the order in which they are tried.

        Raises
        ------
        PluginError
            If two rules have one name, one is not whole, or the order goes round in a circle.
        UsageError
            If a switch names no rule and no plugin.

        """
        there = {source.name: source.plugin.rules for source in self.loaded}
        idle = [p.name for p in installed() if p.name not in there]
        groups = {**dict.fromkeys(idle, ()), **there}
        hint = f"installed plugins to enable first: {', '.join(idle)}; " if idle else ""
        return select_rules(self.rules, enable=self.enable, disable=self.disable, groups=groups, hint=hint)

    @cached_property
    def frontends(self) -> tuple[Frontend, ...]:
        """The families of models that can be read.

        Raises
        ------
        PluginError
            If two have one kind or part.

        """
        found = [(f, source) for source in self.loaded for f in source.plugin.frontends]
        self._check_unique("kind of checkpoint", [(f.kind, source) for f, source in found])
        self._check_unique("part of a bundle", [(part, source) for f, source in found for part in f.parts])
        return tuple(f for f, _ in found)

    def target(self, name: str) -> Target:
        """What is compiled for.

        Raises
        ------
        UsageError
            If there is none of that name.
        PluginError
            If there are two.

        """
        found = [(t, source) for source in self.loaded for t in source.plugin.targets]
        self._check_unique("target", [(t.name, source) for t, source in found])
        by_name = {t.name: t for t, _ in found}
        if name not in by_name:
            raise UsageError(f"there is no target {name}", f"give one of {', '.join(by_name)}")
        return by_name[name]

    def options(self, opset: int, target: str, precision: str = FULL, keep: Sequence[str] = ()) -> Options:
        """What graphs are compiled for, with the rules that are on.

        Raises
        ------
        UsageError
            If there is no such target, or none of the rules that are on brings the precision to it.

        """
        options = Options(
            opset, target, self.selected, self.target(target).domains, precision, Keep(tuple(keep))
        )
        able = {r.target for r in self.selected if r.precision == precision}
        if precision != FULL and not able & {None, target}:
            others = sorted(name for name in able if name)
            raise UsageError(
                f"there are no rules for --precision {precision} with --target {target}",
                f"give --target {' or '.join(others)}" if others else f"leave it at {FULL}",
            )
        return options

    def subjects(self, kind: str) -> Callable[..., Iterable[Any]]:
        """The function that yields what verifies the parts of a kind of checkpoint; it is imported now.

        Raises
        ------
        PluginError
            If no plugin brings one, or it cannot be imported.

        """
        declared = [(s.plugin.subjects[kind], s) for s in self.loaded if kind in s.plugin.subjects]
        if not declared:
            raise PluginError(
                f"no plugin brings a reference to verify a {kind} against", "declare it as its subject"
            )
        module, _, name = declared[0][0].partition(":")
        try:
            function: Callable[..., Iterable[Any]] = getattr(import_module(module), name)
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {declared[0][1]}: its subject {module}:{name} cannot be imported: "
                f"{type(error).__name__}: {error}",
                "mend the plugin",
            ) from error
        return function

    def as_json(self, fired: Collection[str], kinds: Collection[str]) -> list[dict[str, Any]]:
        """The plugins for the manifest: which they are, and the rules and kinds by which they took part."""
        return [
            {
                **source.as_json(),
                "rules": sorted(r.__name__ for r in source.plugin.rules if r.__name__ in fired),
                "kinds": sorted(f.kind for f in source.plugin.frontends if f.kind in kinds),
            }
            for source in self.loaded
        ]

    def _check_unique(self, what: str, names: Sequence[tuple[str, Loaded]]) -> None:
        owners: dict[str, Loaded] = {}
        for name, source in names:
            if name in owners:
                raise PluginError(
                    f"two plugins bring the {what} {name!r}: {owners[name]} and {source}",
                    "disable one of them",
                )
            owners[name] = source

    def check_switches(self) -> None:
        """Raise a `UsageError` if a switch names no rule and no plugin."""
        _ = self.selected

    def source_of(self, rule: type[Rule]) -> Loaded:
        """The plugin that a rule comes from."""
        return next(source for source in self.loaded if rule in source.plugin.rules)
