"""Brings plugins into use: built-in ones always, installed ones only where they are named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vampconv.errors import PluginError
from vampconv.plugins.builtin import BUILTIN
from vampconv.plugins.check import checked
from vampconv.plugins.directory import directory_plugin
from vampconv.plugins.installed import Installed, installed
from vampconv.plugins.plugin import Plugin
from vampconv.plugins.registry import Loaded, Plugins
from vampconv.rewrite import Rule


def load_plugins(
    *,
    directories: Sequence[Path] = (),
    enable: Sequence[str] = (),
    disable: Sequence[str] = (),
    plugins: Sequence[Plugin] = (),
) -> Plugins:
    """The built-in plugins, the installed ones that are named, those of directories, and those given as they are.

    Parameters
    ----------
    directories
        Of rule files (``--rules``).
    enable, disable
        Names of rules and of installed plugins; no installed plugin is imported unless `enable` names it.
    plugins
        Given in-process.

    Raises
    ------
    PluginError
        If one cannot be imported, or declares what is not of its kind.
    UsageError
        If a directory holds no rules.

    """
    wanted = set(enable) - set(disable)
    found = installed()
    sources = [Loaded(p.name, import_plugin(p), p) for p in found if p.is_builtin or p.name in wanted]
    for directory in dict.fromkeys(directories):
        taken, name = {source.name for source in sources}, directory.resolve().name
        name = str(directory) if name in taken else name
        sources.append(Loaded(name, directory_plugin(directory), directory=directory))
    sources += [Loaded(plugin.name, checked(plugin, plugin.name)) for plugin in plugins]
    names = [source.name for source in sources]
    for source in sources:
        if names.count(source.name) > 1:
            both = " and ".join(str(s) for s in sources if s.name == source.name)
            raise PluginError(f"two plugins are named {source.name}: {both}", "leave one of them out")
    return Plugins(tuple(sources), tuple(enable), tuple(disable))


def import_plugin(found: Installed) -> Plugin:
    """Import an installed plugin.

    Raises
    ------
    PluginError
        If that fails, or there is neither ``PLUGIN`` nor ``RULES`` in it.

    """
    try:
        module = found.entry.load()
        declared = getattr(module, "PLUGIN", module)
        plugin = declared if isinstance(declared, Plugin) else Plugin(tuple(module.RULES))
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"plugin {found} cannot be imported: {type(error).__name__}: {error}",
            "reinstall it, or do not enable it",
        ) from error
    if found.is_builtin:
        return replace(BUILTIN, rules=plugin.rules)
    return checked(plugin, str(found))


def builtin_rules() -> list[type[Rule]]:
    """The rules of the built-in plugins, on or off."""
    return load_plugins().rules
