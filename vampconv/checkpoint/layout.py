"""Which values of a pickle are the model's tensors, which are metadata, and which are neither."""

from __future__ import annotations

from dataclasses import dataclass

from vampconv.checkpoint import module
from vampconv.checkpoint.finder import Finder
from vampconv.checkpoint.plain import Plain
from vampconv.checkpoint.source import AGAIN
from vampconv.checkpoint.values import Opaque, StorageRef, TensorRef
from vampconv.errors import BadInputError, NotACheckpointError


@dataclass(frozen=True, slots=True)
class Contents:
    """The model in a pickle: its tensors by name, its metadata, and the names of tensors outside it."""

    tensors: dict[str, TensorRef]
    metadata: dict[str, object]
    outside: tuple[str, ...]


def contents_of(root: object, where: str) -> Contents:
    """Find the state dict in what `torch.save` was given.

    1. ``{"state_dict": …, "metadata": {…}}``, as audiotools writes: the metadata is that dict.
    2. ``{"state_dict": …, …}``, as Lightning writes: the metadata is every other value without tensors, and
       `hyper_parameters` in any case.
    3. A whole module object: see `module`.
    4. A dict of name to tensor: no metadata.

    Raises
    ------
    BadInputError
        If none of these is there, or something other than a tensor stands in the state dict.

    """
    if module.is_module(root):
        tensors, metadata, outside = module.contents(root, where)
        return Contents(check_tensors(tensors, where), metadata, outside)
    if not isinstance(root, dict):
        raise NotACheckpointError(
            f"{where} holds {_kind(root)}, not a state dict", "give the model's checkpoint"
        )
    if "state_dict" in root:
        return _wrapped(root, where)
    if not any(isinstance(value, TensorRef) for value in root.values()):
        keys = ", ".join(str(key)[:40] for key in list(root)[:8])
        raise NotACheckpointError(
            f"{where} holds no state dict (its top level has {keys or 'nothing'})",
            "give the model's checkpoint",
        )
    return Contents(check_tensors(root, where), {}, ())


def _wrapped(root: dict[object, object], where: str) -> Contents:
    state = root["state_dict"]
    if not isinstance(state, dict):
        raise BadInputError(f"{where} holds {_kind(state)} as its state dict", "give the model's checkpoint")
    tensors = check_tensors(state, where)
    rest = {_text(key, where): value for key, value in root.items() if key != "state_dict"}
    finder, plain = Finder(where), Plain(where)
    outside = {key: tuple(finder.tensors(value, key)) for key, value in rest.items()}
    metadata = rest.get("metadata")
    if "metadata" in rest and "pytorch-lightning_version" not in rest:
        chosen = _metadata(metadata, where)
    else:
        chosen = {key: value for key, value in rest.items() if key == "hyper_parameters" or not outside[key]}
    values = {_text(key, where): plain(value) for key, value in chosen.items()}
    return Contents(tensors, values, tuple(name for names in outside.values() for name in names))


def _metadata(value: object, where: str) -> dict[object, object]:
    if not isinstance(value, dict):
        raise BadInputError(f"{where} holds {_kind(value)} as its metadata, not a dict", AGAIN)
    return value


def metadata_of(value: object, where: str) -> dict[str, object]:
    """The metadata record of a package, as plain values."""
    plain = Plain(where)
    return {_text(key, where): plain(item) for key, item in _metadata(value, where).items()}


def _text(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise BadInputError(f"{where} has the key {str(key)[:40]!r} where a name should be", AGAIN)
    return key


def check_tensors(state: dict[object, object] | dict[str, object], where: str) -> dict[str, TensorRef]:
    """`state` if each key is a name and each value a tensor that can be read.

    Raises
    ------
    BadInputError
        If not, naming the value, or if there are no tensors at all.

    """
    if not state:
        raise BadInputError(f"{where} has a state dict without tensors", "give the model's checkpoint")
    tensors: dict[str, TensorRef] = {}
    for key, value in state.items():
        name = _text(key, where)
        if not isinstance(value, TensorRef):
            raise BadInputError(
                f"{where}: {name[:200]} is {_kind(value)}, not a plain dense tensor",
                "save the state dict with dense real tensors only",
            )
        tensors[name] = value
    return tensors


def _kind(value: object) -> str:
    """A phrase for messages that names the type, never the contents."""
    if isinstance(value, Opaque):
        return f"an object of {value.name}" if value.args is not None else f"the name {value.name}"
    if isinstance(value, StorageRef):
        return f"a bare {value.type_name}"
    return "a tensor" if isinstance(value, TensorRef) else f"a value of type {type(value).__name__}"
