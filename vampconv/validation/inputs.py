"""Random inputs for a sub-graph: real numbers of several kinds, and integers that its meaning takes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import dims
from vampconv.dialect.op import Array
from vampconv.validation.sizes import Sizes

CANDIDATES = 8
"""Largest number of ranges of integers that are tried."""
ELEMENTS = 1 << 22
"""Largest number of elements of one drawn value."""


@dataclass(frozen=True)
class Plan:
    """One drawing: sizes of the dynamic dimensions, and what kind of real numbers."""

    sizes: Sizes
    kind: str
    """``normal``; ``tiny``: normal times 10⁻⁴; ``positive``: uniform in 0.25 … 2."""


def plans(workable: Sequence[Sizes]) -> list[Plan]:
    """The drawings for a firing: normal numbers, where an epsilon shows, positive ones, and a long one."""
    first, second, *long = workable if len(workable) > 1 else [workable[0], workable[0]]
    found = [Plan(second, "normal"), Plan(first, "tiny"), Plan(first, "positive")]
    return found + [Plan(sizes, "normal") for sizes in long]


class UnknownInputError(Exception):
    """An input of which not enough is known to draw it; the message says what."""


def draw(
    values: Iterable[ir.Value], plan: Plan, random: np.random.Generator, highest: int
) -> dict[ir.Value, Array]:
    """An array for each value; integers that do not follow from the sizes lie in 0 … `highest`, both included.

    Raises
    ------
    UnknownInputError
        If a value's type or rank is not known, or it is too large.

    """
    return {value: _draw(value, plan, random, highest) for value in values}


def _draw(value: ir.Value, plan: Plan, random: np.random.Generator, highest: int) -> Array:
    known = plan.sizes.of(value)
    if known is not None and known.array is not None:
        return known.array
    dtype = known.dtype if known is not None else value.dtype
    shape = known.dims if known is not None else _declared(value, plan)
    if dtype is None or shape is None:
        raise UnknownInputError("the shape of an input cannot be told")
    if int(np.prod(shape)) > ELEMENTS:
        raise UnknownInputError(f"an input would have more than {ELEMENTS} elements")
    if dtype.is_floating_point():
        return _reals(plan.kind, shape, random).astype(dtype.numpy())
    if dtype == ir.DataType.BOOL:
        return random.integers(0, 2, shape).astype(bool)
    if dtype.numpy().kind not in "iu":
        raise UnknownInputError(f"an input is of type {dtype}")
    numbers = random.integers(0, highest, shape, endpoint=True)
    if numbers.ndim and numbers.size:
        numbers[..., 0] = highest
    if numbers.ndim and numbers.shape[-1] > 1:
        numbers[..., -1] = 0
    return numbers.astype(dtype.numpy())


def _declared(value: ir.Value, plan: Plan) -> tuple[int, ...] | None:
    shape = dims(value)
    default = max(plan.sizes.sizes.values(), default=1)
    if shape is None:
        return None
    return tuple(d if isinstance(d, int) else plan.sizes.sizes.get(d or "", default) for d in shape)


def _reals(kind: str, shape: tuple[int, ...], random: np.random.Generator) -> Array:
    if kind == "positive":
        return random.uniform(0.25, 2, shape)
    return random.standard_normal(shape) * (1e-4 if kind == "tiny" else 1.0)


def ranges(free: Iterable[ir.Value], constants: Mapping[ir.Value, Array], plan: Plan) -> Iterator[int]:
    """Upper ends of ranges to draw integers from, the widest first: they may index any axis around them."""
    unbound = [
        v for v in free if (k := plan.sizes.of(v)) is None or (k.array is None and _is_integer(k.dtype))
    ]
    if not any(_is_integer(v.dtype) for v in unbound):
        yield 1
        return
    sizes = {d for array in constants.values() for d in array.shape}
    sizes |= {d for v in free if (k := plan.sizes.of(v)) is not None for d in k.dims}
    ends = {end for size in sizes for end in (size, size - 1)} | {0, 1}
    yield from sorted(ends, reverse=True)[:CANDIDATES]


def _is_integer(dtype: ir.DataType | None) -> bool:
    return dtype is not None and dtype != ir.DataType.BOOL and dtype.numpy().kind in "iu"
