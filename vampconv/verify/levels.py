"""Errors of values against their truth, taken beside the run that makes the values."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor

from torch import Tensor

from vampconv.verify.compare import relative

WORKERS = 2
"""Errors that are taken at a time."""
WAITING = 1 << 28
"""Bytes of values that may wait for it; the run that makes them waits for these."""


class Levels:
    """The relative errors of floating-point values by name.

    Parameters
    ----------
    truth
        The true values; what is not among them, or has another shape there, has no error.

    """

    def __init__(self, truth: Mapping[str, Tensor]) -> None:
        self._truth, self._pool = truth, ThreadPoolExecutor(WORKERS)
        self._waiting: deque[tuple[Future[float], int]] = deque()
        self._size = 0
        self._errors: dict[str, Future[float]] = {}

    def see(self, name: str, value: Tensor) -> None:
        """Take the error of a value, now or soon; a second value of a name takes the place of the first."""
        truth = self._truth.get(name)
        if truth is None or not truth.is_floating_point() or truth.shape != value.shape:
            self._errors.pop(name, None)
            return
        self._errors[name] = self._pool.submit(relative, value, truth)
        self._waiting.append((self._errors[name], value.nbytes))
        self._size += value.nbytes
        while self._size > WAITING:
            future, size = self._waiting.popleft()
            self._size -= size
            future.exception()

    def taken(self) -> dict[str, float]:
        """Wait for all."""
        with self._pool:
            return {name: future.result() for name, future in self._errors.items()}
