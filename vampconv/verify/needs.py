"""Which plugins a bundle was made with: their code is imported only if the user says so, never a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vampconv.emit.standing import MANIFEST
from vampconv.errors import InputOutputError, PluginError
from vampconv.plugins import Plugins, installed


def require_plugins(manifest: Mapping[str, Any], plugins: Plugins) -> list[str]:
    """Check that every plugin is there that took part in making a bundle, or parts of it; return how they differ.

    Raises
    ------
    PluginError
        Naming the first that is missing, and the option that gives it.
    InputOutputError
        If the manifest is damaged.

    """
    differences = []
    here = {source.name: source for source in plugins.loaded}
    try:
        took = {rule for model in manifest["models"].values() for rule in model["rules"]}
        took |= {checkpoint["kind"] for checkpoint in manifest["checkpoints"]}
        for entry in manifest.get("plugins", ()):
            name, version = str(entry["name"]), entry["version"]
            part = [what for what in (*entry["kinds"], *entry["rules"]) if what in took]
            if not part or (name in here and here[name].is_builtin):
                continue
            if name not in here:
                raise _missing(name, version, entry.get("distribution"), part)
            if here[name].version != version:
                differences.append(
                    f"it was made with {name} {version}, and is verified with {here[name].version}"
                )
    except (KeyError, TypeError, AttributeError):
        raise InputOutputError(
            f"{MANIFEST} is damaged: it does not tell with which plugins it was made",
            "convert again with --force",
        ) from None
    return differences


def _missing(name: str, version: object, distribution: object, part: list[str]) -> PluginError:
    told = f"{distribution or 'a plugin'} {version or ''}".strip()
    problem = f"the bundle was made with plugin {name} ({told}), which brings {part[0]}"
    if distribution is None:
        return PluginError(problem, f"give its directory {name} by --rules")
    there = [p for p in installed() if p.name == name]
    before = "" if there else f"install {told}, and "
    return PluginError(problem, f"{before}if you trust its code, give --enable {name}")
