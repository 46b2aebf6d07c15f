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
    periods, per_period = ceil(length / field.period), int(field.period / field.jump)
    advance = ceil(periods / parts)
    certain = (length - field.lost) / field.jump
    begins = [b for b in range(0, periods, advance) if b == 0 or b * per_period < certain]
    chunks = []
    for begin in begins:
        first, last = begin * per_period, (begin + advance) * per_period
        needed = min(field.jump * first - field.left, length - field.least)
        start = max(0, needed // field.period * field.period)
        stop = min(length, max(field.window(last - 1)[1] + 1, start + ceil(field.least)))
        before = int(start / field.jump)
        if begin == begins[-1]:
            chunks.append(Chunk(start, length, first - before, None))
        else:
            chunks.append(Chunk(start, stop, first - before, last - before))
    return chunks


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
