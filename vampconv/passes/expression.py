"""Constants as expressions: what a weight is computed from, and its computation in blocks of rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.passes.exact import BY_ROWS, WHOLE, reduced_axes, rounded

BLOCK = 1 << 16
"""Elements computed at a time: few enough for their float64 values to stay in a core's cache."""

REDUCTIONS = ("ReduceSum", "ReduceMax")
COMPUTED = {**BY_ROWS, **WHOLE}


@dataclass(frozen=True, eq=False)
class Leaf:
    """A constant as it was given: a tensor of the checkpoint, or a number that a rule wrote down."""

    name: str
    tensor: ir.TensorProtocol

    @property
    def shape(self) -> tuple[int, ...]:
        return cast("ir.Shape", self.tensor.shape).numpy()

    @property
    def dtype(self) -> ir.DataType:
        return self.tensor.dtype

    def __str__(self) -> str:
        is_number = isinstance(self.tensor, ir.Tensor) and self.tensor.size <= 4
        return str(self.tensor.numpy().tolist()) if is_number else self.name


@dataclass(frozen=True, eq=False)
class Apply:
    """An ONNX operation on constants."""

    op_type: str
    arguments: tuple[Expression, ...]
    attributes: Mapping[str, Any]
    shape: tuple[int, ...]
    rules: tuple[str, ...] = ()
    """Names of the rules that made the operation, in order."""

    @property
    def dtype(self) -> ir.DataType:
        return result_dtype(self.op_type, self.arguments, self.attributes)

    def __str__(self) -> str:
        return f"{self.op_type}({', '.join(map(str, self.arguments))})"


Expression = Leaf | Apply


def result_dtype(op_type: str, arguments: Sequence[Expression], attributes: Mapping[str, Any]) -> ir.DataType:
    """Type of an operation's result: that of its first argument, but for an index and a cast."""
    if op_type == "Cast":
        return ir.DataType(attributes["to"])
    return ir.DataType.INT64 if op_type == "ArgMax" else arguments[0].dtype


def leaves(expression: Expression) -> Iterator[Leaf]:
    """The constants that an expression is computed from, from left to right."""
    if isinstance(expression, Leaf):
        yield expression
    else:
        for argument in expression.arguments:
            yield from leaves(argument)


def makers(expression: Expression) -> Iterator[str]:
    """Names of the rules that made an expression, the innermost first; some more than once."""
    if isinstance(expression, Apply):
        for argument in expression.arguments:
            yield from makers(argument)
        yield from expression.rules


def untransposed(expression: Expression) -> Expression:
    """What an expression is without two transpositions at its end of which the second takes back the first."""
    match expression:
        case Apply("Transpose", (Apply("Transpose", (source,), first),), second):
            perms = first["perm"], second["perm"]
            if [perms[0][p] for p in perms[1]] == list(range(len(perms[1]))):
                return untransposed(source)
    return expression


def evaluate(expression: Expression) -> Array:
    """The value, computed in float64 and rounded once to the expression's type."""
    result = np.empty(expression.shape, expression.dtype.numpy())
    with np.errstate(all="ignore"):
        Evaluation().fill(result, expression)
    return result


@dataclass
class Evaluation:
    """One evaluation; leaves and shared parts are read and computed once."""

    known: dict[Expression, Array] = field(default_factory=dict)
    block: slice = field(default_factory=lambda: slice(0))
    in_block: dict[Expression, Array] = field(default_factory=dict)

    def fill(self, out: Array, expression: Expression) -> None:
        """Write the value into `out`, which may be a view into a larger array."""
        if isinstance(expression, Leaf):
            out[...] = rounded(self.whole(expression), out.dtype)
        elif expression.op_type == "Transpose":
            order = np.argsort(expression.attributes["perm"])
            self.fill(out.transpose(order), expression.arguments[0])
        elif expression.op_type == "Concat":
            self._fill_parts(out, expression)
        elif expression.op_type in ("Reshape", "Squeeze", "Unsqueeze"):
            self._fill_reshaped(out, expression.arguments[0])
        elif self.has_rows(expression):
            self._fill_by_rows(out, expression)
        else:
            out[...] = rounded(self.whole(expression), out.dtype)

    def has_rows(self, expression: Apply) -> bool:
        """Whether the rows (axis 0) of the value can be computed block by block."""
        if expression.op_type in REDUCTIONS:
            axes = expression.attributes.get("axes", ())
            if len(expression.arguments) == 2:
                axes = self.whole(expression.arguments[1])
            return 0 not in reduced_axes(axes, len(expression.arguments[0].shape))
        return expression.op_type in BY_ROWS and bool(expression.shape)

    def _fill_parts(self, out: Array, expression: Apply) -> None:
        start, axis = 0, expression.attributes["axis"] % out.ndim
        for part in expression.arguments:
            stop = start + part.shape[axis]
            self.fill(out[(slice(None),) * axis + (slice(start, stop),)], part)
            start = stop

    def _fill_reshaped(self, out: Array, source: Expression) -> None:
        try:
            view = out.reshape(source.shape, copy=False)
        except ValueError:
            is_split = isinstance(source, Apply) and self.has_rows(source) and source.shape[0] % len(out) == 0
            if is_split:
                self._fill_by_rows(out, source)
            else:
                out[...] = rounded(self.whole(source).reshape(out.shape), out.dtype)
        else:
            self.fill(view, source)

    def _fill_by_rows(self, out: Array, source: Expression) -> None:
        """Fill `out` block by block; each of its rows holds as many rows of the source."""
        each = source.shape[0] // max(len(out), 1)
        step = max(1, BLOCK * len(out) // max(out.size, 1))
        for start in range(0, len(out), step):
            block = out[start : start + step]
            rows = self.rows(source, slice(start * each, (start + len(block)) * each))
            block[...] = rounded(rows.reshape(block.shape), out.dtype)

    def rows(self, expression: Expression, rows: slice) -> Array:
        """Rows of the value, in float64 (integers in int64); those asked for last are not computed again."""
        expression = untransposed(expression)
        if isinstance(expression, Leaf) or not self.has_rows(expression):
            return _wide(self.whole(expression)[rows])
        if self.block != rows:
            self.block, self.in_block = rows, {}
        if expression in self.in_block:
            return self.in_block[expression]
        height, rank = expression.shape[0], len(expression.shape)
        by_first = expression.op_type in ("MatMul", *REDUCTIONS)
        arguments = [
            self.rows(a, rows)
            if (i == 0 if by_first else len(a.shape) == rank and a.shape[0] == height)
            else _wide(self.whole(a))
            for i, a in enumerate(expression.arguments)
        ]
        result = BY_ROWS[expression.op_type](*arguments, **expression.attributes)
        if self.block == rows:
            self.in_block[expression] = result
        return result

    def whole(self, expression: Expression) -> Array:
        """The whole value: a leaf as stored, anything else in float64 (integers in int64)."""
        if expression not in self.known:
            if isinstance(expression, Leaf):
                self.known[expression] = expression.tensor.numpy()
            elif expression.op_type in COMPUTED and not self.has_rows(expression):
                arguments = [_wide(self.whole(a)) for a in expression.arguments]
                self.known[expression] = COMPUTED[expression.op_type](*arguments, **expression.attributes)
            else:
                is_float = expression.dtype.is_floating_point()
                self.known[expression] = np.empty(expression.shape, np.float64 if is_float else np.int64)
                self.fill(self.known[expression], expression)
        return self.known[expression]


def _wide(array: Array) -> Array:
    """Integers as int64, floating-point numbers (bfloat16 among them) as float64."""
    return array.astype(np.int64 if array.dtype.kind in "iub" else np.float64, copy=False)
