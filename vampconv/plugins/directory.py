"""Rules in the Python files of a directory."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from vampconv.dialect import Op
from vampconv.errors import PluginError, UsageError
from vampconv.plugins.plugin import Plugin
from vampconv.rewrite import Rule

SHOWN = 12
"""Digits of the SHA-256 that stands for a version."""


def directory_plugin(directory: Path) -> Plugin:
    """The rules and ops defined in the Python files of a directory, by file name and then by place in the file.

    Raises
    ------
    UsageError
        If there are no such files, or no rules in them.
    PluginError
        If one cannot be imported.

    """
    files = _files(directory)
    if not files:
        raise UsageError(f"--rules {directory}: no Python files there", "give a directory of rule files")
    modules = [_import(file) for file in files]
    rules: list[type[Rule]] = [r for module in modules for r in _defined(module, Rule)]
    if not rules:
        raise UsageError(f"--rules {directory}: its files define no rules", "see rules/README.md")
    return Plugin(rules, [op for module in modules for op in _defined(module, Op)])


def directory_rules(directory: Path) -> list[type[Rule]]:
    """The rules of `directory_plugin`."""
    return list(directory_plugin(directory).rules)


def directory_version(directory: Path) -> str:
    """What tells one state of a directory's files from another."""
    digest = hashlib.sha256()
    for file in _files(directory):
        digest.update(f"{file.name}\0{file.stat().st_size}\0".encode())
        digest.update(file.read_bytes())
    return f"sha256:{digest.hexdigest()[:SHOWN]}"


def _files(directory: Path) -> list[Path]:
    return sorted(directory.glob("*.py")) if directory.is_dir() else []


def _import(file: Path) -> ModuleType:
    if not file.is_file():
        raise PluginError(f"{file} is not a regular file", "take it away")
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


def _defined(module: ModuleType, base: type) -> list[type]:
    values = vars(module).values()
    return [
        v for v in values if isinstance(v, type) and issubclass(v, base) and v.__module__ == module.__name__
    ]
