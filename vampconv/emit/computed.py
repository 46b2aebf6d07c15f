"""The values of a model's weights, which must be finite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.errors import BadInputError
from vampconv.frontend.weights import WeightTensor
from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of


def finite_array(value: ir.Value) -> Array:
    """The value of a constant.

    Raises
    ------
    BadInputError
        If it is computed from tensors of a checkpoint and not finite.

    """
    assert value.const_value is not None
    array = value.const_value.numpy()
    if array.dtype.kind in "fV" and not np.isfinite(array).all():
        names = [leaf.name for leaf in leaves(expression_of(value)) if isinstance(leaf.tensor, WeightTensor)]
        if names:
            raise BadInputError(
                f"the weight computed from {', '.join(dict.fromkeys(names))} is not finite",
                "the checkpoint is damaged or its training diverged: get a sound one",
            )
    return array


def compute_weights(model: ir.Model, advance: Callable[[int], None] = lambda _: None) -> None:
    """Compute every weight of a model and keep none: for the errors that writing it would raise."""
    for value in model.graph.initializers.values():
        advance(finite_array(value).nbytes)
