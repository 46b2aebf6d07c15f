"""The calls by which torch describes a dense tensor."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from vampconv.checkpoint.values import Opaque, PickleError, StorageRef, TensorRef

if TYPE_CHECKING:
    from vampconv.checkpoint.budget import Arguments, Budget


def _tensor(arguments: Arguments, _budget: Budget) -> object:
    """``_rebuild_tensor(storage, offset, size, stride)``; ``_v2`` adds (requires_grad, hooks[, metadata])."""
    match arguments:
        case (StorageRef() as storage, int() as offset, tuple() as shape, tuple() as stride, *rest):
            # The metadata says that the elements are to be negated or conjugated.
            if len(rest) > 3 or (len(rest) == 3 and rest[2]):
                return None
            return TensorRef(storage, offset, _integers(shape), _integers(stride), None)
    return None


def _tensor_v3(arguments: Arguments, budget: Budget) -> object:
    """``_rebuild_tensor_v3(storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])``."""
    if len(arguments) < 7 or not isinstance(arguments[6], Opaque):
        return None
    made = _tensor((*arguments[:6], *arguments[7:]), budget)
    if not isinstance(made, TensorRef):
        return None
    return TensorRef(made.storage, made.offset, made.shape, made.stride, arguments[6].name)


def _integers(values: tuple[object, ...]) -> tuple[int, ...]:
    numbers = tuple(value for value in values if isinstance(value, int) and not isinstance(value, bool))
    if len(numbers) != len(values):
        raise PickleError("a tensor size or stride that is no integer")
    return numbers


def _parameter(arguments: Arguments, _budget: Budget) -> object:
    return arguments[0] if arguments and isinstance(arguments[0], TensorRef) else None


KNOWN: dict[str, Callable[[Arguments, Budget], object]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_v3,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
"""The calls that rebuild a dense tensor, by full name."""
