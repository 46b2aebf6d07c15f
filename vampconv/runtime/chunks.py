"""How a long signal is cut into chunks whose outputs join to the output of the whole."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, lcm

from vampconv.runtime.field import ReceptiveField


@dataclass(frozen=True)
class Chunk:
    """Inputs ``start`` to ``stop``, and which of the outputs made of them to keep."""

    start: int
    stop: int
    first: int
    last: int | None
    """One past the last kept output; None: up to the end."""


def cut(field: ReceptiveField, length: int, parts: int) -> list[Chunk]:
    """At most so many chunks, of equal lengths but for the last.

    A chunk begins at a multiple of the field's period, so that every convolution takes the steps that
    it takes in the whole, and reaches as far to both sides as its outputs see. What lies beyond is
    then of no effect, and the zeros at the chunk's ends are seen by dropped outputs only, or are
    those at the ends of the whole. None begins where there may be no outputs left.

    Parameters
    ----------
    field
        The receptive field of the model.
    length
        Inputs in all.
    parts
        How many chunks are wanted.

    """
    periods = ceil(length / field.period)
    advance = ceil(periods / parts)
    begins = [b for b in range(0, periods, advance) if begins_certainly(field, b, length)]
    return [chunk_at(field, begin, advance, length, last=begin == begins[-1]) for begin in begins]


def begins_certainly(field: ReceptiveField, begin: int, length: int) -> bool:
    """Whether there are outputs from a period on, of so many inputs."""
    return begin == 0 or begin * int(field.period / field.jump) < (length - field.lost) / field.jump


def chunk_at(field: ReceptiveField, begin: int, advance: int, length: int, *, last: bool) -> Chunk:
    """The chunk from a period on, `advance` periods long or, if it is the last one, up to the end."""
    per_period = int(field.period / field.jump)
    first, end = begin * per_period, (begin + advance) * per_period
    start = start_of(field, begin, length)
    before = int(start / field.jump)
    if last:
        return Chunk(start, length, first - before, None)
    stop = min(length, stop_of(field, begin, advance, start))
    return Chunk(start, stop, first - before, end - before)


def start_of(field: ReceptiveField, begin: int, length: int) -> int:
    """The first input that a chunk from a period on needs."""
    first = begin * int(field.period / field.jump)
    needed = min(field.jump * first - field.left, length - field.least)
    return max(0, needed // field.period * field.period)


def stop_of(field: ReceptiveField, begin: int, advance: int, start: int) -> int:
    """One past the last input that a chunk needs that is not the last."""
    end = (begin + advance) * int(field.period / field.jump)
    return max(field.window(end - 1)[1] + 1, start + ceil(field.least))


def parts_of(length: int, rows: int, workers: int, most: int, least: int) -> int:
    """Into how many chunks to cut each row of a batch.

    Many enough that none is longer than `most` inputs; beyond that, a number that keeps all workers
    busy, if chunks are then still of `least` inputs, for the contexts not to cost much.

    Parameters
    ----------
    length
        Inputs of each row.
    rows
        Size of the batch.
    workers
        How many chunks run at once.
    most
        The longest chunk, without its context.
    least
        The shortest that is worth while.

    """
    needed = ceil(length / most)
    useful = length // least
    step = lcm(workers, rows) // rows
    busy = ceil(needed / step) * step
    return busy if busy <= useful else max(needed, min(useful, step))
