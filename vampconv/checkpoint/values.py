"""What the unpickling machine makes of a pickle: plain Python values, and these inert stand-ins."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(eq=False, repr=False, slots=True)
class Opaque:
    """An object of the pickle that is not understood, kept as data; nothing of it was ever called.

    Attributes
    ----------
    name
        The full name of the class or function, as ``module.name``.
    args
        The arguments that it would have been called with, or None where only its name stands.
    state
        What its ``__setstate__`` or ``__dict__`` would have been given, or None.
    items
        The elements that would have been appended to it.
    entries
        The keys and values that would have been set in it.

    """

    name: str
    args: tuple[object, ...] | None = None
    state: object = None
    items: list[object] = field(default_factory=list)
    entries: dict[object, object] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Opaque({self.name!r})"


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class StorageRef:
    """A storage that the pickle names: `type_name` as in ``torch.FloatStorage``, `size` in its elements."""

    type_name: str
    key: str
    size: int


@dataclass(frozen=True, eq=False, repr=False, slots=True)
class TensorRef:
    """A tensor that the pickle describes; not yet compared with its storage.

    `offset` and `stride` count elements; `dtype` is a name such as ``torch.float16``, or None where the
    storage's type gives it.
    """

    storage: StorageRef
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str | None


@dataclass(eq=False, repr=False, slots=True)
class DtypeRef:
    """A numpy dtype under construction: its code such as ``f8``, and its byte order."""

    code: str
    order: str = "<"


@dataclass(eq=False, repr=False, slots=True)
class ArrayRef:
    """A numpy array under construction."""

    shape: tuple[int, ...] = (0,)
    dtype: DtypeRef | None = None
    fortran: bool = False
    data: bytes = b""


class PickleError(Exception):
    """The pickle is malformed; the message says how."""
