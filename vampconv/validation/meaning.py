"""What the graph before a firing computes, in float64 by the ops' meanings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.rewrite.execute import interpret

UNDEFINED: tuple[type[Exception], ...] = (
    ArithmeticError,
    AssertionError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a meaning raises on inputs for which it is not defined."""
MOVES = 8
"""How often inputs are moved by a rounding."""
ROUNDING = 2.0**-23
"""Of float32, relative."""


class Meaning:
    """One side of a firing, and the constants that it reads."""

    def __init__(
        self, model: ir.Model, names: Mapping[ir.Value, str], fixed: Mapping[ir.Value, Array]
    ) -> None:
        self.model, self.names = model, names
        self.fixed = {v: widened(a) for v, a in fixed.items() if v in names}

    def __call__(self, feeds: Mapping[ir.Value, Array]) -> list[Array]:
        every = {**self.fixed, **{v: widened(a) for v, a in feeds.items()}}
        with np.errstate(all="ignore"):
            return interpret(self.model, {name: every[v] for v, name in self.names.items()})

    def moved(self, feeds: Mapping[ir.Value, Array], output: int) -> Iterator[Array]:
        """One output again, for inputs and constants that are moved by a rounding of float32."""
        random = np.random.default_rng(0)
        for _ in range(MOVES):
            every = {**self.fixed, **{v: widened(a) for v, a in feeds.items()}}
            moved = {name: _nudged(every[v], random) for v, name in self.names.items()}
            yield interpret(self.model, moved)[output]


def widened(array: Array) -> Array:
    """Reals as float64."""
    return array.astype(np.float64) if array.dtype.kind in "fV" else array


def _nudged(array: Array, random: np.random.Generator) -> Array:
    signs = random.choice((-1.0, 1.0), array.shape)
    return np.asarray(array * (1 + ROUNDING * signs)) if array.dtype.kind == "f" else array


def says_nothing(truths: Iterable[Array]) -> str:
    """Why nothing can be compared with these truths, if so."""
    if not any(t.size for t in truths):
        return "it gives no element to compare"
    if not any(np.isfinite(t).any() if t.dtype.kind == "f" else t.size for t in truths):
        return "its meaning is not finite on the inputs that were drawn"
    return ""


def first_line(error: Exception) -> str:
    """The first line of what an exception says, or its kind."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
