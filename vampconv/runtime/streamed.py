"""A model over a signal that comes in pieces."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.chunked import ChunkedModel
from vampconv.runtime.chunks import Chunk, begins_certainly, chunk_at, start_of, stop_of
from vampconv.runtime.field import ReceptiveField

Array = NDArray[Any]


def streamed(model: ChunkedModel, pieces: Iterable[Array]) -> Iterator[Array]:
    """Stretches of the model's output of pieces [batch, …, time], each as soon as its turn comes.

    They join to the output of the whole signal, cut into chunks that do not depend on how it came. A few chunks are
    in work at a time, one for each of the model's workers, and memory does not grow with the signal, unless the model
    must see it whole.
    """
    field = model.field
    if field is None:
        yield model(np.concatenate(list(pieces), axis=-1))
        return
    advance = max(1, model.longest // field.period)
    waiting: deque[list[Future[Array]]] = deque()
    with ThreadPoolExecutor(model.workers) as pool:
        try:
            for inputs, chunk in _chunks(field, pieces, advance):
                rows = [inputs[row : row + 1] for row in range(len(inputs))]
                waiting.append([pool.submit(model.piece, x, chunk) for x in rows])
                if len(waiting) * len(rows) >= model.workers:
                    yield _joined(waiting.popleft())
            while waiting:
                yield _joined(waiting.popleft())
        finally:
            pool.shutdown(cancel_futures=True)


def _joined(rows: list[Future[Array]]) -> Array:
    return np.concatenate([row.result() for row in rows])


def _chunks(field: ReceptiveField, pieces: Iterable[Array], advance: int) -> Iterator[tuple[Array, Chunk]]:
    """The inputs of each chunk, and which of its outputs to keep."""
    held: Array | None = None
    offset = begin = length = 0
    for piece in pieces:
        length += piece.shape[-1]
        held = piece if held is None else np.concatenate((held, piece), axis=-1)
        while begins_certainly(field, begin + advance, length):
            start = start_of(field, begin, length)
            if stop_of(field, begin, advance, start) > length:
                break
            chunk = chunk_at(field, begin, advance, length, last=False)
            yield _cut(held, chunk, offset), chunk
            begin += advance
            keep = _kept(field, begin)
            held, offset = held[..., keep - offset :].copy(), keep
    while held is not None and begins_certainly(field, begin, length):
        last = not begins_certainly(field, begin + advance, length)
        chunk = chunk_at(field, begin, advance, length, last=last)
        yield _cut(held, chunk, offset), chunk
        if last:
            return
        begin += advance


def _kept(field: ReceptiveField, begin: int) -> int:
    """The first input that a chunk from a period on may need, however long the signal becomes."""
    first = field.jump * begin * int(field.period / field.jump)
    needed = floor(min(first - field.left, first + field.lost - field.least))
    return max(0, needed // field.period * field.period)


def _cut(held: Array, chunk: Chunk, offset: int) -> Array:
    return np.ascontiguousarray(held[..., chunk.start - offset : chunk.stop - offset])
