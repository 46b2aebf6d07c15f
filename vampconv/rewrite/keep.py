"""Which modules stay in float32 where a graph is compiled in another precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase


@dataclass(frozen=True)
class Keep:
    """Patterns over the paths of modules.

    Attributes
    ----------
    patterns
        As in a shell (``*``, ``?``, ``[…]``), of a module or of one that it is in, with ``PART/`` before it
        or without: ``*.w_2``, ``transformer.layers.3``, ``coarse/classifier*``.
    part
        The part of the bundle that is compiled.

    """

    patterns: tuple[str, ...] = ()
    part: str = ""

    def matching(self, module: str) -> tuple[str, ...]:
        """The patterns that a module matches."""
        paths = list(_upwards(module))
        names = [*paths, *(f"{self.part}/{path}" for path in paths)]
        return tuple(p for p in self.patterns if any(fnmatchcase(name, p) for name in names))


def _upwards(module: str) -> Iterator[str]:
    """The path of a module, and those of the modules that it is in."""
    names = module.split(".")
    return (".".join(names[:count]) for count in range(len(names), 0, -1))
