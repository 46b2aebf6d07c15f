"""The values of a model's weights: computed a few ahead, in order, and finite."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.weights import WeightTensor
from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of

WORKERS = 2
"""Constants computed at a time, while another is written."""
AHEAD = 1 << 26
"""Bytes of constants that may be computed before their turn."""
AT_ONCE = 1 << 27
"""Bytes of constants that are in memory at a time, unless one alone has more."""


def finite_array(value: ir.Value) -> Array:
    """The value of a constant.

    Raises
    ------
    BadInputError
        If it is computed from tensors of a checkpoint and not finite.
    UnsupportedModelError
        If it is finite, but too large for the float16 that it is written in.

    """
    assert value.const_value is not None
    array = value.const_value.numpy()
    if array.dtype.kind in "fV" and not np.isfinite(array).all():
        own = [leaf for leaf in leaves(expression_of(value)) if isinstance(leaf.tensor, WeightTensor)]
        if own:
            told = f"the weight computed from {', '.join(dict.fromkeys(leaf.name for leaf in own))}"
            if array.dtype == np.float16 and all(np.isfinite(leaf.tensor.numpy()).all() for leaf in own):
                raise UnsupportedModelError(
                    f"{told} is too large for float16", "leave its module in float32, by --keep fp32:MODULE"
                )
            raise BadInputError(
                f"{told} is not finite",
                "the checkpoint is damaged or its training diverged: get a sound one",
            )
    return array


def computed(values: Iterable[ir.Value]) -> Iterator[Array]:
    """The constants' arrays, in order; up to `AHEAD` bytes of them are computed before their turn."""
    with ThreadPoolExecutor(WORKERS) as pool:
        pending: deque[tuple[int, Future[Array]]] = deque()
        outstanding = 0
        try:
            for value in values:
                tensor = value.const_value
                assert tensor is not None
                while pending and outstanding + tensor.nbytes > AT_ONCE:
                    outstanding -= pending[0][0]
                    yield pending.popleft()[1].result()  # a name would keep it in memory
                pending.append((tensor.nbytes, pool.submit(finite_array, value)))
                outstanding += tensor.nbytes
                while outstanding > AHEAD and len(pending) > WORKERS:
                    outstanding -= pending[0][0]
                    yield pending.popleft()[1].result()
            while pending:
                yield pending.popleft()[1].result()
        finally:
            for _, future in pending:
                future.cancel()


def compute_weights(model: ir.Model, advance: Callable[[int], None] = lambda _: None) -> None:
    """Compute every weight of a model and keep none: for the errors that writing it would raise."""
    for array in computed(model.graph.initializers.values()):
        advance(array.nbytes)
