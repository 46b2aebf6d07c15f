"""Tensors that are more than should be in memory: they are written to a file without a name, and mapped from it."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor, from_numpy

LIMIT = 1 << 30
"""Bytes of the tensors of one run that stay in memory."""
LEAST = 1 << 20
"""Bytes of a tensor that is worth a file."""


@dataclass
class Spill:
    """Where the tensors of one run are kept.

    Attributes
    ----------
    limit
        Bytes that stay in memory; what goes beyond is on disk, in the directory of temporary files. Where that is
        full, tensors stay in memory as well.
    spilled
        How many tensors are on disk.

    """

    limit: int = field(default_factory=lambda: LIMIT)
    spilled: int = 0
    _held: int = 0
    _storages: set[int] = field(default_factory=set)

    def keep(self, tensor: Tensor) -> Tensor:
        """The tensor, or one of the same elements, shape and type that is mapped from disk."""
        storage = tensor.untyped_storage()
        if storage.data_ptr() in self._storages:
            return tensor
        if self._held + storage.nbytes() > self.limit and tensor.nbytes >= LEAST:
            try:
                mapped = _on_disk(tensor)
            except OSError:
                self.limit = 1 << 62
            else:
                self.spilled += 1
                return mapped
        self._storages.add(storage.data_ptr())
        self._held += storage.nbytes()
        return tensor


def _on_disk(tensor: Tensor) -> Tensor:
    """The tensor, with its axes in the order in which they lay in memory."""
    order = sorted(range(tensor.ndim), key=lambda axis: -tensor.stride()[axis])
    array = tensor.permute(order).contiguous().numpy()
    with tempfile.TemporaryFile(prefix="vampconv-") as file:
        file.write(array.data)
        file.flush()
        mapped = from_numpy(np.memmap(file, array.dtype, "c", shape=array.shape))
    return mapped.permute([order.index(axis) for axis in range(tensor.ndim)])
