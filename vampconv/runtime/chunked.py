"""A model that runs over signals of any length in chunks, several at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vampconv.runtime.chunks import Chunk, cut, parts_of
from vampconv.runtime.field import NotLocalError, ReceptiveField
from vampconv.runtime.receptive_field import receptive_field
from vampconv.runtime.session import default_workers, open_session, run_session

Array = NDArray[Any]
WORTHWHILE = 4
"""How many times longer than its context a chunk should be, where there is a choice."""


class ChunkedModel:
    """A model of one input and one output, both with time as their last axis.

    Every row of a batch is cut into chunks, which run in workers of their own in one session. The
    joined outputs are those of the whole signal, but for the rounding of products that are summed in
    another order. If outputs do not depend on a bounded window of inputs, the signal is run whole.

    Parameters
    ----------
    path
        An ONNX file.
    budget
        Inputs that all workers together hold at a time; what memory is needed follows from it.
    workers
        Chunks that run at once; as many as there are processors, by default.
    longest
        The longest chunk, in inputs without context; by default chosen from `budget`.
    threads
        Threads that each chunk takes.

    Attributes
    ----------
    field
        The receptive field, or None if the signal is run whole.
    whole_because
        Why it is.

    """

    def __init__(
        self,
        path: Path,
        *,
        budget: int,
        workers: int | None = None,
        longest: int | None = None,
        threads: int = 1,
    ) -> None:
        self.workers = workers or default_workers()
        self.field: ReceptiveField | None = None
        self.whole_because = ""
        self.session = open_session(path, threads)
        try:
            self.field = receptive_field(path)
        except NotLocalError as reason:
            self.whole_because = str(reason)
            self.session = open_session(path, self.workers * threads)
            return
        self.least = max(WORTHWHILE * self.field.context, self.field.period)
        self.longest = longest or max(budget // self.workers, self.least)

    def __call__(self, x: Array) -> Array:
        """The model's output for x [batch, …, time]."""
        if self.field is None:
            return self._run(x)
        rows, length = x.shape[0], x.shape[-1]
        parts = parts_of(length, rows, self.workers, self.longest, self.least)
        chunks = cut(self.field, length, parts)
        jobs = [(row, chunk) for row in range(rows) for chunk in chunks]
        with ThreadPoolExecutor(min(self.workers, len(jobs))) as pool:
            pieces = list(pool.map(partial(self._piece, x), jobs))
        total = sum(piece.shape[-1] for piece in pieces[: len(chunks)])
        joined = np.empty((rows, *pieces[0].shape[1:-1], total), pieces[0].dtype)
        for row in range(rows):
            at = 0
            for piece in pieces[row * len(chunks) : (row + 1) * len(chunks)]:
                joined[row, ..., at : at + piece.shape[-1]] = piece[0]
                at += piece.shape[-1]
        return joined

    def _piece(self, x: Array, job: tuple[int, Chunk]) -> Array:
        row, chunk = job
        return self.piece(np.ascontiguousarray(x[row : row + 1, ..., chunk.start : chunk.stop]), chunk)

    def piece(self, x: Array, chunk: Chunk) -> Array:
        """The outputs that are kept of a chunk's inputs x [1, …, time]."""
        return self._run(x)[..., chunk.first : chunk.last].copy()

    def _run(self, x: Array) -> Array:
        return np.asarray(run_session(self.session, {self.session.get_inputs()[0].name: x}))
