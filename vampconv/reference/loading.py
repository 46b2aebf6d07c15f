"""Matching a state dict against a module: every name exactly once, every shape as declared."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from vampconv.errors import BadInputError

if TYPE_CHECKING:
    from torch import Tensor, nn

_COMPILED = "_orig_mod."


def without_prefix(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict without the `_orig_mod.` that `torch.compile` puts into names.

    Raises
    ------
    BadInputError
        Two names become the same.

    """
    plain: dict[str, Tensor] = {}
    for name, tensor in state.items():
        short = name.replace(_COMPILED, "")
        if short in plain:
            raise BadInputError(f"{short} is there twice, with and without {_COMPILED}", "save it anew")
        plain[short] = tensor
    return plain


def is_lora(name: str) -> bool:
    """Whether the tensor is half of a LoRA pair."""
    return name.endswith((".lora_A", ".lora_B"))


def fine_tune_pairs(lora: Mapping[str, Tensor], model: Collection[str]) -> dict[str, Tensor]:
    """The tensors of a fine-tune, which must be whole LoRA pairs of the model.

    Parameters
    ----------
    lora
        A bare LoRA state dict.
    model
        Names of all tensors that the model can have.

    Raises
    ------
    BadInputError
        There is no pair, half a pair, or a tensor that is no LoRA tensor of the model.

    """
    pairs = without_prefix(lora)
    stems = {name.removesuffix(".lora_A").removesuffix(".lora_B") for name in pairs if is_lora(name)}
    if not stems:
        raise BadInputError("the fine-tune holds no LoRA pair", "give a LoRA state dict of this model")
    _check_names({f"{stem}.{half}" for stem in stems for half in ("lora_A", "lora_B")}, pairs)
    _check_names(set(model), set(model) | set(pairs))
    return pairs


def load_strictly(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Put `state` into `module` without copying; names and shapes must be the module's own.

    Raises
    ------
    BadInputError
        A name is missing or unexpected, or a shape differs.

    """
    wanted = module.state_dict()
    _check_names(wanted.keys(), state.keys())
    for name, tensor in wanted.items():
        if tensor.shape != state[name].shape:
            shapes = f"{list(state[name].shape)}, not {list(tensor.shape)}"
            raise BadInputError(f"{name} has shape {shapes}", "check that kwargs and weights agree")
    module.load_state_dict(dict(state), assign=True)


def _check_names(wanted: Collection[str], found: Collection[str]) -> None:
    for problem, names in (("missing", set(wanted) - set(found)), ("unexpected", set(found) - set(wanted))):
        if names:
            first = min(names)
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BadInputError(f"{problem} tensor {first}{more}", "check that kwargs and weights agree")
