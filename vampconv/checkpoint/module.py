"""The state of a pickled ``torch.nn.Module``, read from its attributes; its class is never looked up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from vampconv.checkpoint.finder import Finder
from vampconv.checkpoint.plain import MAX_DEPTH, Plain
from vampconv.checkpoint.source import AGAIN
from vampconv.checkpoint.values import Opaque, TensorRef
from vampconv.errors import BadInputError, LimitError

MAX_ENTRIES = 100_000
_MAX_PREFIX = 1024


def is_module(value: object) -> TypeGuard[Opaque]:
    """Whether the object has the attributes that every ``torch.nn.Module`` has."""
    attributes = _attributes(value)
    return isinstance(attributes.get("_parameters"), dict) and isinstance(attributes.get("_modules"), dict)


def _attributes(value: object) -> dict[object, object]:
    state = value.state if isinstance(value, Opaque) else None
    if isinstance(state, tuple) and len(state) == 2:
        # (attributes, slots), as classes with __slots__ are pickled.
        state = state[0]
    return state if isinstance(state, dict) else {}


def contents(root: Opaque, where: str) -> tuple[dict[str, object], dict[str, object], tuple[str, ...]]:
    """Tensors in the order of ``state_dict()``, metadata, and the names of tensors outside the state dict.

    The metadata is ``{"kwargs": …}`` with the attributes of the root whose values are numbers, text, or lists
    and dicts of these.

    Raises
    ------
    BadInputError
        If two tensors have one name, or something is not where a module has it.
    LimitError
        If modules are nested too deep, or there are too many.

    """
    tensors: dict[str, object] = {}
    for name, value in _walk(root, where):
        if name in tensors:
            raise BadInputError(f"{where} has two tensors named {name[:200]}", AGAIN)
        tensors[name] = value
    inside = {id(value) for value in tensors.values()}
    outside = tuple(_other_tensors(root, inside, where))
    plain = Plain(where)
    kwargs = {
        key: plain(value)
        for key, value in _attributes(root).items()
        if isinstance(key, str) and not key.startswith("_") and key != "training" and _is_plain(value)
    }
    return tensors, {"kwargs": kwargs}, outside


def _walk(root: Opaque, where: str) -> Iterator[tuple[str, object]]:
    waiting: list[tuple[str, object, int]] = [("", root, 0)]
    count = 0
    while waiting:
        prefix, current, depth = waiting.pop()
        count += 1 + _entries(current)
        if depth > MAX_DEPTH or count > MAX_ENTRIES or len(prefix) > _MAX_PREFIX:
            raise LimitError(f"{where} nests its modules too deep or has too many", "check the file")
        if not is_module(current):
            raise BadInputError(f"{where}: {prefix[:-1][:200]} is not a module", AGAIN)
        attributes = _attributes(current)
        yield from _own(attributes, prefix, where)
        children = _members(attributes, "_modules", prefix, where)
        waiting += [(f"{name}.", child, depth + 1) for name, child in reversed(children) if child is not None]


def _entries(value: object) -> int:
    attributes = _attributes(value)
    parts = [attributes.get(kind) for kind in ("_parameters", "_buffers", "_modules")]
    return len(attributes) + sum(len(part) for part in parts if isinstance(part, dict))


def _own(attributes: dict[object, object], prefix: str, where: str) -> Iterator[tuple[str, object]]:
    for name, value in _members(attributes, "_parameters", prefix, where):
        if value is not None:
            yield name, value
    hidden = attributes.get("_non_persistent_buffers_set", set())
    for name, value in _members(attributes, "_buffers", prefix, where):
        if value is not None and not (isinstance(hidden, set) and name.removeprefix(prefix) in hidden):
            yield name, value


def _members(
    attributes: dict[object, object], kind: str, prefix: str, where: str
) -> list[tuple[str, object]]:
    members = attributes.get(kind, {})
    if not isinstance(members, dict) or not all(
        isinstance(key, str) and len(key) <= _MAX_PREFIX for key in members
    ):
        raise BadInputError(
            f"{where}: {kind} of module {prefix[:-1][:200] or 'root'} is not a dict of names", AGAIN
        )
    return [(f"{prefix}{key}", value) for key, value in members.items()]


def _other_tensors(root: Opaque, inside: set[int], where: str) -> Iterator[str]:
    """Tensors that hang on the modules elsewhere, such as buffers that are not persistent."""
    finder = Finder(where)
    waiting: list[tuple[str, object]] = [("", root)]
    while waiting:
        prefix, current = waiting.pop()
        attributes = _attributes(current)
        for key, value in attributes.items():
            if isinstance(key, str) and key not in ("_parameters", "_modules", "_buffers"):
                yield from finder.tensors(value, f"{prefix}{key[:256]}")
        for name, value in _members(attributes, "_buffers", prefix, where):
            if isinstance(value, TensorRef) and id(value) not in inside:
                yield name
        children = _members(attributes, "_modules", prefix, where)
        waiting += [(f"{name}.", child) for name, child in reversed(children) if child is not None]


def _is_plain(value: object) -> bool:
    """Whether there are only numbers, text, lists and dicts in `value`; each container is entered once."""
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        current = waiting.pop()
        if id(current) in seen:
            continue
        if isinstance(current, list | tuple | dict):
            seen.add(id(current))
            waiting += current.values() if isinstance(current, dict) else current
        elif current is not None and not isinstance(current, bool | int | float | str):
            return False
    return True
