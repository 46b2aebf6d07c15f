"""numpy's scalars and small arrays in a pickle."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from vampconv.checkpoint.values import ArrayRef, DtypeRef, Opaque, PickleError

if TYPE_CHECKING:
    from vampconv.checkpoint.budget import Arguments, Budget

_MAX_EXTENT = 1 << 40
_NUMBER = re.compile(r"b1|[iu][1248]|f[248]")
_TEXT = re.compile(r"U([0-9]{1,4})")


def _dtype(arguments: Arguments, _budget: Budget) -> object:
    match arguments:
        case (str() as code, *_) if _NUMBER.fullmatch(code) or _TEXT.fullmatch(code):
            return DtypeRef(code)
    return None


def _scalar(arguments: Arguments, budget: Budget) -> object:
    match arguments:
        case (DtypeRef() as dtype, bytes() as data):
            return (
                _text(dtype, data, budget)
                if dtype.code[0] == "U"
                else _elements(dtype, data, (), False).item()
            )
    return None


def _text(dtype: DtypeRef, data: bytes, budget: Budget) -> str:
    budget.charge(len(data))
    try:
        text = data.decode("utf-32-be" if dtype.order == ">" else "utf-32-le").rstrip("\0")
    except UnicodeDecodeError:
        raise PickleError("a numpy string that is not Unicode") from None
    if len(data) != 4 * int(dtype.code[1:]):
        raise PickleError("a numpy string of the wrong length")
    return text


def _reconstruct(arguments: Arguments, _budget: Budget) -> object:
    match arguments:
        case (Opaque(name="numpy.ndarray"), (0,), _):
            return ArrayRef()
    return None


def _from_buffer(arguments: Arguments, budget: Budget) -> object:
    match arguments:
        case (bytes(), DtypeRef(), tuple(), "C" | "F"):
            made = ArrayRef()
            data, dtype, shape, order = arguments
            build_array(made, (1, shape, dtype, order == "F", data), budget)
            return made
    return None


def build_dtype(target: DtypeRef, state: object) -> None:
    """Take the byte order from the state of a plain dtype."""
    match state:
        case (int(), "<" | ">" | "|" | "=" as order, None, None, None, *_):
            target.order = "<" if order in "|=" else order
        case _:
            raise PickleError("a numpy dtype with a state that it cannot have")


def build_array(target: ArrayRef, state: object, budget: Budget) -> None:
    """Take shape, dtype, order and bytes from an array's state; arrays of objects stay empty of data."""
    match state:
        case (int(), tuple() as shape, DtypeRef() as dtype, bool() | int() as fortran, bytes() as data):
            sizes = tuple(size for size in shape if isinstance(size, int))
            if len(sizes) != len(shape):
                raise PickleError("a numpy array with a shape of no integers")
            budget.charge(len(data))
            target.shape, target.dtype, target.fortran, target.data = sizes, dtype, bool(fortran), data
        case (int(), tuple(), Opaque() | DtypeRef(), _, list() | bytes()):
            target.dtype = None
        case _:
            raise PickleError("a numpy array with a state that it cannot have")


def array_value(reference: ArrayRef) -> np.ndarray[Any, np.dtype[Any]] | Opaque:
    """The finished array in native byte order, or `Opaque` for elements that are not numbers."""
    if reference.dtype is None or reference.dtype.code[0] == "U":
        return Opaque("numpy.ndarray")
    return _elements(reference.dtype, reference.data, reference.shape, reference.fortran)


def _elements(
    reference: DtypeRef, data: bytes, shape: tuple[int, ...], fortran: bool
) -> np.ndarray[Any, np.dtype[Any]]:
    dtype = np.dtype(reference.order + reference.code)
    extent = math.prod(size for size in shape if size)
    if len(shape) > 32 or min(shape, default=0) < 0 or extent > _MAX_EXTENT:
        raise PickleError("a numpy array of a shape that cannot be")
    if math.prod(shape) * dtype.itemsize != len(data):
        raise PickleError("a numpy value whose bytes do not fill its shape")
    if reference.code == "b1" and data.strip(b"\0\1"):
        raise PickleError("a numpy boolean that is neither 0 nor 1")
    stored = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return np.array(stored, dtype.newbyteorder("="), order="C", copy=True)


KNOWN: dict[str, Callable[[Arguments, Budget], object]] = {
    "numpy.dtype": _dtype,
    "numpy.core.multiarray.scalar": _scalar,
    "numpy._core.multiarray.scalar": _scalar,
    "numpy.core.multiarray._reconstruct": _reconstruct,
    "numpy._core.multiarray._reconstruct": _reconstruct,
    "numpy.core.numeric._frombuffer": _from_buffer,
    "numpy._core.numeric._frombuffer": _from_buffer,
}
"""The calls that numpy writes, by full name."""
