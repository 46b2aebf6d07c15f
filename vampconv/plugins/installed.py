"""Which plugins are installed, told from the metadata of distributions: none is imported."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points

GROUP = "vampconv.rules"
HOME = "vampconv"
"""The distribution whose plugins are built in."""


@dataclass(frozen=True)
class Installed:
    """A plugin as its distribution announces it.

    Attributes
    ----------
    name
        Of its entry point; ``--enable`` takes it.
    module
        What is imported if it is enabled.
    distribution, version
        What installed it.

    """

    name: str
    module: str
    distribution: str
    version: str
    entry: EntryPoint

    @property
    def is_builtin(self) -> bool:
        """Whether it is always on."""
        return self.distribution == HOME

    def __str__(self) -> str:
        return f"{self.name} ({self.distribution} {self.version})"


def installed() -> list[Installed]:
    """The installed plugins, built-in ones first, then by name."""
    found = []
    for entry in entry_points(group=GROUP):
        distribution = entry.dist
        name, version = (distribution.name, distribution.version) if distribution else ("", "")
        found.append(Installed(entry.name, entry.value, name, version, entry))
    return sorted(found, key=lambda p: (not p.is_builtin, p.name, p.distribution))
