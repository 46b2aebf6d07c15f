"""Where tensors stand in a value that is not a state dict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from vampconv.checkpoint.values import Opaque, StorageRef, TensorRef
from vampconv.errors import LimitError

MAX_STEPS = 500_000
MAX_NAMED = 16 << 20
_MAX_KEY = 128
_MAX_DEPTH = 64


@dataclass(frozen=True, slots=True, eq=False)
class _Path:
    """A place as a chain of keys, so that a name is only written out for a tensor."""

    key: str
    parent: _Path | None
    depth: int

    def below(self, key: str) -> _Path:
        return _Path(key, self, self.depth + 1)

    def dotted(self) -> str:
        keys: list[str] = []
        path: _Path | None = self
        while path is not None:
            keys.append(path.key)
            path = path.parent
        return ".".join(reversed(keys))


class Finder:
    """Names the tensors in the values of one pickle; all its searches share one bound.

    Parameters
    ----------
    where
        The file, for messages.

    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._steps = MAX_STEPS
        self._characters = MAX_NAMED

    def tensors(self, value: object, name: str) -> Iterator[str]:
        """The dotted name, from `name` on, of each tensor or storage in `value`.

        Each container is entered once, so that cycles and repetitions end.

        Raises
        ------
        LimitError
            If values are nested too deep, or all searches together visit or name too much.

        """
        seen: set[int] = set()
        waiting: list[tuple[_Path, object]] = [(_Path(name, None, 0), value)]
        while waiting:
            path, current = waiting.pop()
            self._bound(path)
            if isinstance(current, TensorRef | StorageRef):
                dotted = path.dotted()
                self._characters -= len(dotted)
                yield dotted
            elif isinstance(current, dict | list | tuple | Opaque) and id(current) not in seen:
                seen.add(id(current))
                waiting += reversed(list(_children(path, current)))

    def _bound(self, path: _Path) -> None:
        self._steps -= 1
        if self._steps < 0 or self._characters < 0 or path.depth > _MAX_DEPTH:
            raise LimitError(
                f"{self._where} nests its other values too deep or has too many of them", "check the file"
            )


def _children(
    path: _Path, value: dict[object, object] | list[object] | tuple[object, ...] | Opaque
) -> Iterator[tuple[_Path, object]]:
    if isinstance(value, dict):
        for key, child in value.items():
            yield path.below(_key_text(key)), child
    elif isinstance(value, Opaque):
        for part in (value.args, value.state, value.items, value.entries):
            yield path, part
    else:
        for index, child in enumerate(value):
            yield path.below(str(index)), child


def _key_text(key: object) -> str:
    if isinstance(key, str):
        return key[:_MAX_KEY]
    return str(key) if key is None or isinstance(key, int | float) else type(key).__name__
