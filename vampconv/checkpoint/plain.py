"""From the machine's values to metadata for the user: finite, acyclic, with nothing under construction."""

from __future__ import annotations

from typing import NamedTuple

from vampconv.checkpoint.arrays import array_value
from vampconv.checkpoint.dtypes import OTHER_TORCH, TORCH
from vampconv.checkpoint.source import AGAIN
from vampconv.checkpoint.values import ArrayRef, DtypeRef, Opaque, PickleError, StorageRef, TensorRef
from vampconv.errors import BadInputError, LimitError

MAX_DEPTH = 64
MAX_VALUES = 200_000


class _Made(NamedTuple):
    """A converted value, the number of values in it when written out, and how deep it is nested."""

    value: object
    size: int
    height: int


def _enclose(value: object, parts: list[_Made]) -> _Made:
    size = 1 + sum(part.size for part in parts)
    return _Made(value, size, 1 + max((part.height for part in parts), default=0))


class Plain:
    """Converts values of one pickle; what the pickle shares stays shared, so nothing is copied twice.

    Parameters
    ----------
    where
        The file, for messages.

    """

    def __init__(self, where: str) -> None:
        self._where = where
        self._done: dict[int, _Made] = {}
        self._kept: list[object] = []  # an id stays its value's own only as long as the value lives
        self._open: set[int] = set()

    def __call__(self, value: object) -> object:
        """`value` as plain Python data.

        Torch dtypes and devices become their names, paths become text, numpy scalars Python numbers, small
        arrays `numpy.ndarray`; tensors and all that is not understood become `Opaque`.

        Raises
        ------
        BadInputError
            If a value contains itself, or an array is malformed.
        LimitError
            If it is nested deeper than `MAX_DEPTH`, or written out would have more than `MAX_VALUES` values.

        """
        return self._convert(value, 0).value

    def _convert(self, value: object, depth: int) -> _Made:
        if value is None or isinstance(value, bool | int | float | str | bytes):
            return _Made(value, 1, 0)
        made = self._done.get(id(value))
        if made is None:
            if id(value) in self._open:
                raise BadInputError(f"{self._where}: a value of the metadata contains itself", AGAIN)
            self._check(depth, len(self._kept))
            self._kept.append(value)
            self._open.add(id(value))
            made = self._done[id(value)] = self._container(value, depth + 1)
            self._open.remove(id(value))
        self._check(depth + made.height, made.size)
        return made

    def _check(self, depth: int, size: int) -> None:
        if depth > MAX_DEPTH or size > MAX_VALUES:
            raise LimitError(
                f"{self._where}: the metadata has a depth over {MAX_DEPTH} or over {MAX_VALUES} values",
                "check the file",
            )

    def _container(self, value: object, depth: int) -> _Made:
        if isinstance(value, list | tuple | set | frozenset):
            parts = [self._convert(item, depth) for item in value]
            return _enclose(type(value)([part.value for part in parts]), parts)
        if isinstance(value, dict):
            entries = [(self._convert(key, depth), self._convert(item, depth)) for key, item in value.items()]
            made = {key.value: item.value for key, item in entries}
            return _enclose(made, [part for entry in entries for part in entry])
        if isinstance(value, Opaque):
            return self._opaque(value, depth)
        return _Made(self._leaf(value), 1, 1)

    def _opaque(self, value: Opaque, depth: int) -> _Made:
        if value.args is None and value.state is None and (value.name in TORCH or value.name in OTHER_TORCH):
            return _Made(value.name, 1, 0)
        inner = (value.args, value.state, value.items, value.entries)
        parts = [self._convert(part, depth) for part in inner]
        args, state, items, entries = (part.value for part in parts)
        if not (isinstance(items, list) and isinstance(entries, dict) and isinstance(args, tuple | None)):
            raise TypeError(f"containers of {value.name} changed type")
        return _enclose(Opaque(value.name, args, state, items, entries), parts)

    def _leaf(self, value: object) -> object:
        match value:
            case ArrayRef():
                try:
                    return array_value(value)
                except PickleError as error:
                    raise BadInputError(f"{self._where}: the metadata holds {error}", AGAIN) from None
            case DtypeRef():
                return value.order + value.code if value.code != "b1" else "bool"
            case TensorRef():
                return Opaque("torch.Tensor")
            case StorageRef():
                return Opaque(value.type_name)
        raise TypeError(f"the machine cannot make a {type(value).__name__}")
