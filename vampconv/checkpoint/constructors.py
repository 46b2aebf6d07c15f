"""The calls of a pickle that are understood, each done here on plain data; all others stay `Opaque`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING

from vampconv.checkpoint import arrays, containers, tensor_calls
from vampconv.checkpoint.values import ArrayRef, DtypeRef, Opaque, PickleError, StorageRef, TensorRef

if TYPE_CHECKING:
    from vampconv.checkpoint.budget import Arguments, Budget


def persistent(identity: object) -> object:
    """What a persistent id stands for: a storage, or in a package something opaque."""
    match identity:
        case ("storage", Opaque(name=type_name), str() | int() as key, str() | None, int() as size):
            return StorageRef(type_name, _short(str(key)), size)
        case (str() as kind, *rest) if kind != "storage":
            return Opaque(_short(kind), tuple(rest))
    raise PickleError("a storage that is not described as torch does")


def _short(text: str) -> str:
    if len(text) > 128:
        raise PickleError("a name of absurd length")
    return text


def construct(function: Opaque, arguments: Arguments, budget: Budget) -> object:
    """The value of calling `function` on `arguments`, as data; `Opaque` where it is not understood."""
    known = _KNOWN.get(function.name) if function.args is None else None
    made = known(arguments, budget) if known else None
    return Opaque(function.name, arguments) if made is None else made


def build(target: object, state: object, budget: Budget) -> None:
    """Give an object its state; that of dicts and tensors (such as ``OrderedDict._metadata``) is dropped."""
    if isinstance(target, Opaque):
        target.state = state
    elif isinstance(target, DtypeRef):
        arrays.build_dtype(target, state)
    elif isinstance(target, ArrayRef):
        arrays.build_array(target, state, budget)
    elif not isinstance(target, dict | list | set | TensorRef):
        raise PickleError("a state for a value that has none")


def _path(kind: type[PurePosixPath | PureWindowsPath]) -> Callable[[Arguments, Budget], object]:
    def make(arguments: Arguments, budget: Budget) -> object:
        parts = [part for part in arguments if isinstance(part, str)]
        budget.charge(sum(map(len, parts)))
        return str(kind(*parts)) if len(parts) == len(arguments) else None

    return make


def _device(arguments: Arguments, _budget: Budget) -> object:
    match arguments:
        case (str() as kind,) if len(kind) < 64:
            return kind
        case (str() as kind, int() as index) if len(kind) < 64:
            return f"{kind}:{index}"
    return None


def _from_type(arguments: Arguments, budget: Budget) -> object:
    """``_rebuild_from_type_v2(function, type, arguments, state)`` for tensors that have attributes."""
    match arguments:
        case (Opaque(args=None) as function, Opaque(name=kind), tuple() as inner, _):
            made = construct(function, inner, budget) if function.name in tensor_calls.KNOWN else None
            return made if isinstance(made, TensorRef) and kind in _TENSOR_TYPES else None
    return None


def _new_object(arguments: Arguments, _budget: Budget) -> object:
    match arguments:
        case (Opaque(name=name, args=None), *rest):
            return Opaque(name, tuple(rest))
    return None


_PATHLIB = ("pathlib", "pathlib._local")
_PATHS: dict[str, type[PurePosixPath | PureWindowsPath]] = {
    "PosixPath": PurePosixPath,
    "PurePosixPath": PurePosixPath,
    "WindowsPath": PureWindowsPath,
    "PureWindowsPath": PureWindowsPath,
}
_TENSOR_TYPES = {"torch.Tensor", "torch.nn.parameter.Parameter", "torch.nn.parameter.Buffer"}
_KNOWN: dict[str, Callable[[Arguments, Budget], object]] = {
    **tensor_calls.KNOWN,
    "torch._tensor._rebuild_from_type_v2": _from_type,
    "torch.Size": containers.make_tuple,
    "torch.device": _device,
    "copyreg._reconstructor": _new_object,
    "copy_reg._reconstructor": _new_object,
    "copyreg.__newobj__": _new_object,
    **{f"{module}.{name}": _path(kind) for module in _PATHLIB for name, kind in _PATHS.items()},
    **arrays.KNOWN,
    **containers.KNOWN,
}
