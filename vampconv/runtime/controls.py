"""Controls of a model: what steers it, and where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampconv.errors import BadInputError

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Controls:
    """Controls by name.

    Parameters
    ----------
    values
        Float32 [batch, dim, time] each.
    masks
        Float32 [batch, time] each, of the same names: 1 where the control is heard, 0 where it is not.

    """

    values: Mapping[str, Floats]
    masks: Mapping[str, Floats]

    @classmethod
    def of(
        cls,
        dims: Mapping[str, int],
        values: Mapping[str, Floats],
        masks: Mapping[str, Floats] | None,
        batch: int,
        time: int,
    ) -> Controls:
        """Controls that fit a model and codes; a mask that is not given is 1, a control that is not given 0.

        Parameters
        ----------
        dims
            The model's controls and their dimensions.
        values, masks
            As for the class; a batch of one stands for all.
        batch, time
            Of the codes.

        Raises
        ------
        BadInputError
            If the model has no such control, or an array is of another type or shape, or not finite.

        """
        masks = masks or {}
        for name in (*values, *masks):
            if name not in dims or name not in values:
                raise BadInputError(
                    f"there is no control {name!r} {'of the model' if name not in dims else 'for its mask'}",
                    f"give some of: {', '.join(dims) or 'none, the model has no controls'}",
                )
        whole = {name: _fitting(name, array, (batch, dims[name], time)) for name, array in values.items()}
        heard = {
            name: _fitting(f"mask of {name}", masks.get(name, np.ones((1, time), np.float32)), (batch, time))
            for name in values
        }
        return cls(whole, heard)

    def part(self, start: int, stop: int) -> Controls:
        """Those of some steps; beyond the end they are zero."""
        return Controls(
            {name: _cut(array, start, stop) for name, array in self.values.items()},
            {name: _cut(array, start, stop) for name, array in self.masks.items()},
        )

    def of_batch(self, size: int) -> Controls:
        """The same for a batch of this size, if it is one of a batch of one."""
        return Controls(
            {name: np.resize(array, (size, *array.shape[1:])) for name, array in self.values.items()},
            {name: np.resize(array, (size, *array.shape[1:])) for name, array in self.masks.items()},
        )

    def stretched(self, factor: int) -> Controls:
        """Each step so many times."""
        return Controls(
            {name: array.repeat(factor, axis=-1) for name, array in self.values.items()},
            {name: array.repeat(factor, axis=-1) for name, array in self.masks.items()},
        )


def _fitting(name: str, array: Floats, shape: tuple[int, ...]) -> Floats:
    good = isinstance(array, np.ndarray) and array.dtype == np.float32 and array.ndim == len(shape)
    if not good or array.shape[1:] != shape[1:] or array.shape[0] not in (1, shape[0]):
        given = (
            f"{array.dtype} {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        )
        raise BadInputError(f"control {name}: {given} does not fit", f"give float32 {list(shape)}")
    if not np.isfinite(array).all():
        raise BadInputError(f"control {name} is not finite", "give finite values")
    return np.ascontiguousarray(np.broadcast_to(array, shape))


def _cut(array: Floats, start: int, stop: int) -> Floats:
    piece = array[..., start:stop]
    missing = stop - start - piece.shape[-1]
    return np.pad(piece, [(0, 0)] * (piece.ndim - 1) + [(0, missing)])
