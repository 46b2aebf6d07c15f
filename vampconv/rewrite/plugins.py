"""Where rules come from: the entry point group, and directories of rule files."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from vampconv.errors import PluginError, UsageError
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.stage import Stage

GROUP = "vampconv.rules"


def installed_rules() -> list[type[Rule]]:
    """The rules of every installed plugin, the built-in ones first, then by the plugins' names."""
    found: list[type[Rule]] = []
    for entry in sorted(entry_points(group=GROUP), key=lambda e: (e.name != "builtin", e.name)):
        try:
            found += entry.load().RULES
        except (Exception, SystemExit) as error:
            raise PluginError(
                f"plugin {entry.name} cannot be imported: {type(error).__name__}: {error}",
                "reinstall or uninstall it",
            ) from error
    return found


def directory_rules(directory: Path) -> list[type[Rule]]:
    """The rules defined in the Python files of a directory, by file name and then by place in the file."""
    files = sorted(directory.glob("*.py")) if directory.is_dir() else []
    if not files:
        raise UsageError(f"--rules {directory}: no Python files there", "give a directory of rule files")
    rules = [rule for file in files for rule in _rules_in(_import(file))]
    if not rules:
        raise UsageError(f"--rules {directory}: its files define no rules", "see rules/README.md")
    return rules


def _import(file: Path) -> ModuleType:
    name = f"vampconv_rules_from {file.resolve()}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise PluginError(f"{file}: {type(error).__name__}: {error}", "mend the rule file") from error
    return module


def _rules_in(module: ModuleType) -> list[type[Rule]]:
    values = vars(module).values()
    return [
        v for v in values if isinstance(v, type) and issubclass(v, Rule) and v.__module__ == module.__name__
    ]


def _check_whole(rule: type[Rule]) -> None:
    lacking = [p for p in ("stage", "claim", "before", "after", "evidence") if not hasattr(rule, p)]
    if lacking:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}) lacks {', '.join(lacking)}", "see rules/README.md"
        )
    stage: object = rule.stage
    if not isinstance(stage, Stage):
        stages = ", ".join(f"Stage.{stage.name}" for stage in Stage)
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}) has the stage {stage!r}", f"give one of {stages}"
        )


def select_rules(
    rules: Iterable[type[Rule]], *, enable: Sequence[str] = (), disable: Sequence[str] = ()
) -> list[type[Rule]]:
    """The rules to use, by stage and then in their order: those on by default, as switched by name.

    Raises
    ------
    PluginError
        If two rules have one name, or one lacks a piece or names no stage.
    UsageError
        If a switch names no rule.

    """
    by_name: dict[str, type[Rule]] = {}
    for rule in rules:
        _check_whole(rule)
        if by_name.setdefault(rule.__name__, rule) is not rule:
            owners = f"{by_name[rule.__name__].__module__} and {rule.__module__}"
            raise PluginError(f"two rules are named {rule.__name__} (in {owners})", "rename one of them")
    for name in (*enable, *disable):
        if name not in by_name:
            near = get_close_matches(name, by_name, n=1)
            raise UsageError(
                f"there is no rule {name}",
                f"did you mean {near[0]}?" if near else f"known: {', '.join(by_name)}",
            )
    chosen = [r for n, r in by_name.items() if (r.default or n in enable) and n not in disable]
    order = list(Stage)
    return sorted(chosen, key=lambda rule: order.index(rule.stage))
