"""What an op is: a name, a shape rule, and a meaning in numpy that is the authority for every rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

DOMAIN = "vamp"
VERSION = 1
"""Of the domain's ops, as a graph imports them."""

Dim = int | str | None
"""A size, the name of a dynamic dimension (``"time"``), or unknown."""
Dims = tuple[Dim, ...]
Array = NDArray[Any]

OPS: dict[str, type[Op]] = {}


class Op:
    """Base of the ops of domain ``vamp``; a subclass registers itself under its class name.

    ``shape`` maps the inputs' dimensions and the attributes to the output's, and raises
    ``ValueError`` where they do not fit. ``meaning`` computes the output from numpy arrays; floating
    inputs arrive as float64. Both take the inputs in order and the attributes by keyword.
    """

    shape: ClassVar[Callable[..., Dims]]
    meaning: ClassVar[Callable[..., Array]]
    dtype: ClassVar[type[np.generic]] = np.float32

    def __init_subclass__(cls) -> None:
        name = cls.__name__
        if name in OPS and OPS[name].__module__ != cls.__module__:
            raise ValueError(f"op {DOMAIN}.{name} is already defined in {OPS[name].__module__}")
        OPS[name] = cls


def fits(first: Dim, second: Dim) -> bool:
    """Whether two dimensions can be one: unknown and dynamic ones may be anything."""
    return first == second or not (isinstance(first, int) and isinstance(second, int))


def expect(condition: bool, message: str) -> None:
    """Raise ``ValueError(message)`` unless the condition holds; shape rules are written with it."""
    if not condition:
        raise ValueError(message)
