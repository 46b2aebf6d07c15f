"""Python's containers and bytes in a pickle, and what may be a key of one."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vampconv.checkpoint.values import Opaque, PickleError

if TYPE_CHECKING:
    from vampconv.checkpoint.budget import Arguments, Budget

_MAX_KEY_TUPLE = 16
_POINTER = 8
_SLOT = 64
"""Bytes of an element of a dict or set, at least."""


def container_key(value: object) -> object:
    """`value` if it may be a dict key or set element, which only flat immutable values may.

    Nested tuples are refused, because hashing one that repeats itself takes exponential time.
    """
    if isinstance(value, tuple) and len(value) <= _MAX_KEY_TUPLE:
        return tuple(_flat_key(item) for item in value)
    return _flat_key(value)


def _flat_key(value: object) -> object:
    if isinstance(value, int) and value.bit_length() > 63:
        raise PickleError("a key that is an integer of absurd size")
    if value is None or isinstance(value, int | float | str | bytes | Opaque):
        return value
    raise PickleError("a key or set element that is not a plain value")


def _dict(arguments: Arguments, budget: Budget) -> object:
    match arguments:
        case ():
            return {}
        case (list() | tuple() as pairs,):
            budget.charge(_SLOT * len(pairs))
            made: dict[object, object] = {}
            for pair in pairs:
                if not isinstance(pair, list | tuple) or len(pair) != 2:
                    raise PickleError("a dict made of what is no pair")
                made[container_key(pair[0])] = pair[1]
            return made
        case (dict() as other,):
            budget.charge(_SLOT * len(other))
            return dict(other)
    return None


def _default_dict(arguments: Arguments, budget: Budget) -> object:
    return _dict(arguments[1:], budget)


def _elements(arguments: Arguments, budget: Budget, size: int = _POINTER) -> list[object] | None:
    match arguments:
        case ():
            return []
        case (list() | tuple() as items,):
            budget.charge(size * len(items))
            return list(items)
    return None


def _list(arguments: Arguments, budget: Budget) -> object:
    return _elements(arguments, budget)


def make_tuple(arguments: Arguments, budget: Budget) -> object:
    items = _elements(arguments, budget)
    return None if items is None else tuple(items)


def _set(arguments: Arguments, budget: Budget) -> object:
    items = _elements(arguments, budget, _SLOT)
    return None if items is None else {container_key(item) for item in items}


def _frozenset(arguments: Arguments, budget: Budget) -> object:
    items = _elements(arguments, budget, _SLOT)
    return None if items is None else frozenset(container_key(item) for item in items)


def _encode(arguments: Arguments, budget: Budget) -> object:
    """``_codecs.encode(text, "latin1")``, which is how protocol 2 spells bytes."""
    match arguments:
        case (str() as text, "latin1" | "latin-1"):
            budget.charge(len(text))
            try:
                return text.encode("latin-1")
            except UnicodeEncodeError:
                raise PickleError("bytes written as text that is not Latin-1") from None
    return None


def _bytes(arguments: Arguments, _budget: Budget) -> object:
    """``bytes()``, which is how protocol 2 spells no bytes."""
    return None if arguments else b""


_BUILTINS: dict[str, Callable[[Arguments, Budget], object]] = {
    "dict": _dict,
    "list": _list,
    "tuple": make_tuple,
    "set": _set,
    "frozenset": _frozenset,
    "bytes": _bytes,
}
KNOWN: dict[str, Callable[[Arguments, Budget], object]] = {
    "collections.OrderedDict": _dict,
    "collections.defaultdict": _default_dict,
    "_codecs.encode": _encode,
    **{
        f"{module}.{name}": call for module in ("builtins", "__builtin__") for name, call in _BUILTINS.items()
    },
}
"""The calls that make containers and bytes, by full name."""
