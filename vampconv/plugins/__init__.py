"""The plugin door: what a plugin is, which are installed, which are in use."""

from vampconv.plugins.directory import directory_rules
from vampconv.plugins.installed import GROUP, Installed, installed
from vampconv.plugins.load import builtin_rules, load_plugins
from vampconv.plugins.plugin import Plugin
from vampconv.plugins.registry import Loaded, Plugins
from vampconv.rewrite.select import select_rules

__all__ = [
    "GROUP",
    "Installed",
    "Loaded",
    "Plugin",
    "Plugins",
    "builtin_rules",
    "directory_rules",
    "installed",
    "load_plugins",
    "select_rules",
]
