"""A tensor of a checkpoint, read when asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vampconv.checkpoint.source import AGAIN
from vampconv.errors import BadInputError, LimitError

if TYPE_CHECKING:
    from vampconv.checkpoint.record import Record
    from vampconv.checkpoint.source import Source

MAX_NAME = 4096
MAX_EXPANSION = 16
MAX_EXPANDED_BYTES = 16 << 20
_MAX_BYTES = 1 << 62
_MAX_RANK = 64


@dataclass(frozen=True, slots=True)
class Strided:
    """Where the elements lie in a storage; all counts are of elements.

    Attributes
    ----------
    offset
        Of the first element.
    shape, stride
        Of equal length.
    big_endian
        Whether the stored elements have their most significant byte first.

    """

    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    big_endian: bool = False

    @property
    def span(self) -> int:
        """The number of elements from the first to the last in the storage, both included."""
        if 0 in self.shape:
            return 0
        return 1 + sum((size - 1) * step for size, step in zip(self.shape, self.stride, strict=True))

    @property
    def contiguous(self) -> bool:
        expected = 1
        for size, step in zip(reversed(self.shape), reversed(self.stride), strict=True):
            if size != 1 and step != expected:
                return False
            expected *= size
        return True


@dataclass(frozen=True, slots=True, eq=False)
class CheckpointTensor:
    """A named tensor that stays in the file until `read` is called.

    Attributes
    ----------
    name
        As it is stored.
    shape, dtype, nbytes
        Of the array that `read` gives; `nbytes` is that of the dense array.
    crc32
        The checksum of the whole storage record, or None where the container has none.
    storage
        The storage record; tensors with the same one may share elements.

    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    nbytes: int
    crc32: int | None
    storage: str
    _record: Record = field(repr=False)
    _layout: Strided = field(repr=False)

    @property
    def _who(self) -> str:
        return f"{self._record.source.name}: tensor {self.name}"

    def read(self) -> np.ndarray[Any, np.dtype[Any]]:
        """The elements, as a new C-contiguous array of `shape` in native byte order.

        Several threads may read at once. The checksum of the record is compared on the first read.

        Raises
        ------
        BadInputError
            If the record is damaged, or the file was cut short or changed since it was opened.
        InputOutputError
            If the file system does not read.
        LimitError
            If the tensor does not fit into memory.

        """
        layout = self._layout
        try:
            if not layout.span:
                # The offset of an empty view may lie beyond the storage.
                self._record.check()
                return np.empty(self.shape, self.dtype)
            raw = np.empty(layout.span * self.dtype.itemsize, np.uint8)
            self._record.fill(layout.offset * self.dtype.itemsize, raw.data, f"tensor {self.name}")
            self._check_bool(raw)
            flat = _native(raw, self.dtype, layout.big_endian)
            if layout.contiguous:
                return flat.reshape(self.shape)
            steps = [step * self.dtype.itemsize for step in layout.stride]
            view = np.ndarray(self.shape, self.dtype, buffer=raw, strides=steps)
            return np.array(view, order="C", copy=True)
        except MemoryError:
            raise LimitError(
                f"{self._who}: {self.nbytes} bytes do not fit into memory",
                "use a machine with more memory",
            ) from None

    def _check_bool(self, raw: np.ndarray[Any, np.dtype[np.uint8]]) -> None:
        if self.dtype == np.bool_ and raw.max() > 1:
            raise BadInputError(
                f"{self._who} is boolean but holds bytes other than 0 and 1",
                AGAIN,
            )


def _native(
    raw: np.ndarray[Any, np.dtype[np.uint8]], dtype: np.dtype[Any], big_endian: bool
) -> np.ndarray[Any, np.dtype[Any]]:
    if big_endian and dtype.itemsize > 1:
        raw.view(f"u{dtype.itemsize}").byteswap(inplace=True)
    return raw.view(dtype)


def make_tensor(name: str, dtype: np.dtype[Any], layout: Strided, record: Record) -> CheckpointTensor:
    """A tensor over a record, once its layout is known to lie inside it.

    Raises
    ------
    BadInputError
        If its name cannot be printed, a size, stride or offset is negative, or the last element lies beyond the record.
    LimitError
        If its name is longer than `MAX_NAME`, or it is an expansion to more than `MAX_EXPANDED_BYTES` and
        `MAX_EXPANSION` times its record.

    """
    if len(name) > MAX_NAME:
        raise LimitError(
            f"{record.source.name} has a tensor name of {len(name)} characters", "check the file"
        )
    if not name.isprintable():
        raise BadInputError(
            f"{record.source.name} has a tensor of the name {name[:80]!r}, which cannot be printed", AGAIN
        )
    who = f"{record.source.name}: tensor {name}"
    shape, stride = layout.shape, layout.stride
    if len(shape) != len(stride) or min((*shape, *stride, layout.offset)) < 0:
        raise BadInputError(f"{who} has a size, stride or offset that cannot be", AGAIN)
    nonzero_bytes = math.prod(size for size in shape if size) * dtype.itemsize
    if len(shape) > _MAX_RANK or nonzero_bytes > _MAX_BYTES:
        raise LimitError(f"{who} has more elements or dimensions than can be addressed", "check the file")
    if layout.span and (layout.offset + layout.span) * dtype.itemsize > record.size:
        raise BadInputError(f"{who} reaches beyond its storage (record {record.name})", AGAIN)
    nbytes = math.prod(shape) * dtype.itemsize
    if nbytes > MAX_EXPANDED_BYTES and nbytes > MAX_EXPANSION * record.size:
        raise LimitError(f"{who} expands {record.size} bytes to {nbytes}", "check the file")
    return CheckpointTensor(name, shape, dtype, nbytes, record.crc32, record.name, record, layout)


def check_total(tensors: Mapping[str, CheckpointTensor], source: Source) -> None:
    """Raise LimitError if all tensors together are expansions of the file, by the bounds of a single one."""
    nbytes = sum(tensor.nbytes for tensor in tensors.values())
    if nbytes > MAX_EXPANDED_BYTES and nbytes > MAX_EXPANSION * source.size:
        raise LimitError(
            f"{source.name}: its tensors expand {source.size} bytes to {nbytes}", "check the file"
        )
