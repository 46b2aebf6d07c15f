"""Pickles written opcode by opcode: what `torch.save` would write, and anything that it would not."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

STORAGES = {
    "f4": "FloatStorage",
    "f2": "HalfStorage",
    "f8": "DoubleStorage",
    "i8": "LongStorage",
    "b1": "BoolStorage",
}


class Raw(bytes):
    """Opcodes that stand for themselves, and leave one value on the stack."""


def text(value: str) -> Raw:
    data = value.encode("utf-8", "surrogatepass")
    return Raw(b"X" + struct.pack("<I", len(data)) + data)


def number(value: int) -> Raw:
    if 0 <= value < 256:
        return Raw(b"K" + bytes([value]))
    return Raw(b"L%dL\n" % value)


def group(*values: Any) -> Raw:
    """A tuple."""
    return Raw(b"(" + b"".join(map(encode, values)) + b"t")


def name(full: str) -> Raw:
    """A global, as ``module.name``."""
    module, _, last = full.rpartition(".")
    return Raw(b"c" + module.encode() + b"\n" + last.encode() + b"\n")


def call(full: str, *arguments: Any) -> Raw:
    """A function called, as `__reduce__` has it."""
    return Raw(name(full) + group(*arguments) + b"R")


def items(pairs: Any) -> Raw:
    """A dict; keys may be anything."""
    return Raw(b"}(" + b"".join(encode(key) + encode(value) for key, value in pairs) + b"u")


def encode(value: Any) -> bytes:
    """The opcodes of a plain value."""
    if isinstance(value, Raw):
        return value
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        return number(value)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return text(value)
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, tuple):
        return group(*value)
    if isinstance(value, list):
        return b"](" + b"".join(map(encode, value)) + b"e"
    if isinstance(value, Mapping):
        return items(value.items())
    raise TypeError(type(value))


def program(value: Any, protocol: int = 2) -> bytes:
    """A whole pickle."""
    return b"\x80" + bytes([protocol]) + encode(value) + b"."


def storage(
    key: str, count: int, kind: str = "FloatStorage", tag: Any = "storage", device: Any = "cpu"
) -> Raw:
    """A storage, by its persistent id."""
    return Raw(group(tag, name(f"torch.{kind}"), key, device, count) + b"Q")


def tensor(
    key: str = "0",
    count: int = 4,
    shape: tuple[Any, ...] = (4,),
    stride: tuple[Any, ...] | None = None,
    offset: Any = 0,
    kind: str = "FloatStorage",
    function: str = "torch._utils._rebuild_tensor_v2",
    *rest: Any,
) -> Raw:
    """A tensor over a storage, dense unless `stride` is given."""
    if stride is None:
        stride = tuple(int(np.prod(shape[axis + 1 :])) for axis in range(len(shape)))
    return call(
        function,
        storage(key, count, kind),
        offset,
        shape,
        stride,
        False,
        call("collections.OrderedDict"),
        *rest,
    )


def stored(array: np.ndarray, key: str) -> Raw:
    """An array as a tensor."""
    kind = STORAGES.get(array.dtype.str[1:])
    if kind is None:
        typed = ("UntypedStorage", "torch._utils._rebuild_tensor_v3", name(f"torch.{array.dtype.name}"))
        return tensor(key, array.nbytes, tuple(array.shape), None, 0, *typed)
    return tensor(key, array.size, tuple(array.shape), kind=kind)


def state(arrays: Mapping[Any, Any]) -> tuple[Raw, dict[str, bytes]]:
    """A state dict, and the bytes of its storages by their keys; what is no array is written as it is."""
    pairs, storages = [], {}
    for key, value in arrays.items():
        if isinstance(value, np.ndarray):
            number_ = str(len(storages))
            storages[number_] = value.tobytes()
            pairs.append((key, stored(value, number_)))
        else:
            pairs.append((key, value))
    return items(pairs), storages
