"""LoRA fine-tunes: which transformer one fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from vampconv.errors import BadInputError, UsageError
from vampconv.frontend.architecture import VampNetArchitecture
from vampconv.frontend.weights import Weights

RANK = 8
"""loralib's rank in every VampNet; its alpha is 1, so a pair is scaled by 1/RANK."""
SCALE = 1 / RANK


def pair_of(module: str, size: tuple[int, int]) -> dict[str, tuple[int, int]]:
    """Names and shapes of the pair that adapts a linear of size (out, in)."""
    out, into = size
    return {f"{module}.lora_A": (RANK, into), f"{module}.lora_B": (out, RANK)}


def misfit(fine_tune: Weights, architecture: VampNetArchitecture) -> str | None:
    """Why a fine-tune does not cover exactly the adaptable linears, or None if it does."""
    wanted: dict[str, tuple[int, int]] = {}
    for module, size in architecture.adaptable().items():
        wanted |= pair_of(module, size)
    missing = [n for n in wanted if n not in fine_tune]
    foreign = [n for n in fine_tune.tensors if n not in wanted]
    wrong = [n for n, shape in wanted.items() if n in fine_tune and fine_tune.shape(n) != shape]
    for what, names in (("misses", missing), ("has no place for", foreign), ("has another shape in", wrong)):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            return f"{what} {names[0]}{more}"
    return None


def match(fine_tunes: Sequence[Weights], models: Mapping[str, VampNetArchitecture]) -> dict[str, Weights]:
    """Which fine-tune goes over which model.

    Raises
    ------
    BadInputError
        If one fits no model.
    UsageError
        If one fits several, or two fit one.

    """
    chosen: dict[str, Weights] = {}
    for fine_tune in fine_tunes:
        name = fine_tune.checkpoint.path.name
        reasons = {label: misfit(fine_tune, architecture) for label, architecture in models.items()}
        fitting = [label for label, reason in reasons.items() if reason is None]
        if not fitting:
            told = "; ".join(f"{reason} ({label})" for label, reason in reasons.items())
            raise BadInputError(
                f"fine-tune {name} fits no model here: it {told}", "give the model it was made for"
            )
        if len(fitting) > 1:
            raise UsageError(
                f"fine-tune {name} fits {' and '.join(fitting)}", "convert one of them at a time"
            )
        if fitting[0] in chosen:
            raise UsageError(f"two fine-tunes fit {fitting[0]}", "give one of them")
        chosen[fitting[0]] = fine_tune
    return chosen
