"""The samples by which a rule shows that it is right."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from vampconv.dialect.op import Array


class Sample:
    """Arguments for a rule's ``before`` on which the rule must fire exactly `fires` times.

    Arrays become constants, unless a dimension was drawn by name: those become inputs of the graph
    with that dimension dynamic.
    """

    def __init__(self, *, opset: int | None = None, fires: int = 1, **arguments: Any) -> None:
        self.opset = opset
        self.fires = fires
        self.arguments: Mapping[str, Any] = arguments


class Refused(Sample):
    """Arguments on which the rule must decline, giving a reason that contains `reason`."""

    def __init__(self, reason: str, *, opset: int | None = None, **arguments: Any) -> None:
        super().__init__(opset=opset, fires=0, **arguments)
        self.reason = reason


class Fails(Sample):
    """Arguments for which the op's meaning is an error: the rewritten graph must fail on them as well."""


class Drawn(np.ndarray[Any, np.dtype[Any]]):
    """A drawn array that remembers its symbolic shape, and whether it is an input of the graph.

    Both survive arithmetic that keeps the shape.
    """

    symbols: tuple[int | str, ...] | None = ()
    is_input: bool = False

    def __array_finalize__(self, base: Any) -> None:
        self.symbols = getattr(base, "symbols", ())
        self.is_input = getattr(base, "is_input", False)


class Draw:
    """Draws the arrays of a sample; named dimensions take the sizes that the audit has chosen.

    Parameters
    ----------
    sizes
        Size of every named dimension.
    seed
        Seed of the random numbers.

    """

    def __init__(self, sizes: Mapping[str, int], seed: int = 0) -> None:
        self.sizes = sizes
        self.used: set[str] = set()
        self.random = np.random.default_rng(seed)

    def __call__(self, *shape: int | str, scale: float = 1.0) -> Array:
        """Normal float32 numbers of standard deviation `scale`."""
        drawn = self.random.standard_normal(self._sizes(shape)) * scale
        return _mark(drawn.astype(np.float32), shape)

    def integers(self, low: int, high: int, *shape: int | str) -> Array:
        """int64 numbers from `low` to `high`, both included."""
        return _mark(self.random.integers(low, high, self._sizes(shape), endpoint=True), shape)

    def uniform(self, low: float, high: float, *shape: int | str) -> Array:
        """Uniform float32 numbers."""
        return _mark(self.random.uniform(low, high, self._sizes(shape)).astype(np.float32), shape)

    def length(self, name: str) -> Array:
        """The size of a named dimension as an input: int64 [1]."""
        return _mark(np.array([self._sizes((name,))[0]], np.int64), (1,), is_input=True)

    def count(self, name: str) -> Array:
        """The size of a named dimension as an input without axes: int64 []."""
        return _mark(np.array(self._sizes((name,))[0], np.int64), (), is_input=True)

    def input(self, *shape: int | str) -> Array:
        """Like a call, but an input of the graph even where no dimension is dynamic."""
        return _mark(self(*shape), shape, is_input=True)

    def unranked(self, *shape: int | str) -> Array:
        """Like a call, but an input of which the graph does not even know the rank."""
        return _mark(self(*shape), None, is_input=True)

    def _sizes(self, shape: tuple[int | str, ...]) -> list[int]:
        self.used.update(s for s in shape if isinstance(s, str))
        return [self.sizes[s] if isinstance(s, str) else s for s in shape]


def _mark(array: Array, shape: tuple[int | str, ...] | None, *, is_input: bool = False) -> Array:
    drawn = array.view(Drawn)
    drawn.symbols = shape
    drawn.is_input = is_input or any(isinstance(s, str) for s in shape or ())
    return drawn
