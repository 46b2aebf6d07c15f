"""What a rule's guards see of the place where its pattern matched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import onnx_ir as ir

from vampconv.dialect.builder import dims
from vampconv.dialect.op import Array, Dims


@dataclass(frozen=True)
class Match:
    """The values and attributes bound to the pattern's names, and what the graph is compiled for.

    ``m["eps"]`` is an attribute's Python value, or an `onnx_ir.Value`.
    """

    bindings: Mapping[str, Any]
    opset: int
    target: str = "portable"

    def __getitem__(self, name: str) -> Any:
        return self.bindings[name]

    def shape(self, name: str) -> Dims | None:
        """Dimensions of a bound value, or None where the rank is unknown."""
        value = self.bindings[name]
        return dims(value) if isinstance(value, ir.Value) else None

    def dtype(self, name: str) -> ir.DataType | None:
        """Type of a bound value's elements, or None where it is unknown."""
        value = self.bindings[name]
        return value.dtype if isinstance(value, ir.Value) else None

    def floats(self, *names: str) -> bool:
        """Whether all these values are known to be float32, in which the dialect computes."""
        return all(self.dtype(name) is ir.DataType.FLOAT for name in names)

    def integers(self, name: str) -> list[int] | None:
        """Integers that are an attribute or a constant, or None."""
        found = self.bindings[name]
        if isinstance(found, ir.Value):
            array = self.constant(name)
            found = None if array is None or array.dtype.kind != "i" else array.reshape(-1).tolist()
        return None if found is None else [found] if isinstance(found, int) else list(found)

    def is_last_axis(self, name: str, *, of: str) -> bool:
        """Whether these axes are the last one of a bound value, counted from either end."""
        axes, shape = self.integers(name), self.shape(of)
        return axes == [-1] or (shape is not None and axes == [len(shape) - 1])

    def is_constant(self, name: str) -> bool:
        """Whether a bound value is a constant; it is not read."""
        value = self.bindings[name]
        return isinstance(value, ir.Value) and value.const_value is not None

    def is_weight(self, name: str) -> bool:
        """Whether a bound value is computed from constants alone; nothing is read or computed."""
        value = self.bindings[name]
        return isinstance(value, ir.Value) and is_computed_from_constants(value)

    def number(self, name: str) -> float | None:
        """A constant of one element without axes, or None."""
        return float(array) if (array := self.constant(name)) is not None and array.shape == () else None

    def constant(self, name: str) -> Array | None:
        """The value of a constant, or None for anything that is computed; only small ones should be asked for."""
        value = self.bindings[name]
        tensor = value.const_value if isinstance(value, ir.Value) else None
        return None if tensor is None else tensor.numpy()

    def size(self, name: str, axis: int) -> int:
        """A dimension that must be known; 0 if it is not."""
        shape = self.shape(name)
        size = shape[axis] if shape and -len(shape) <= axis < len(shape) else None
        return size if isinstance(size, int) else 0


def is_computed_from_constants(value: ir.Value) -> bool:
    """Whether no input of the graph is under a value."""
    seen, waiting = {value}, [value]
    while waiting:
        below = waiting.pop()
        producer = below.producer()
        if below.const_value is not None:
            continue
        if producer is None or not producer.inputs:
            return False
        new = {v for v in producer.inputs if v is not None} - seen
        seen |= new
        waiting += new
    return True
