"""How to sample, with the original's defaults."""

from __future__ import annotations

import math
from dataclasses import dataclass

from vampconv.errors import UsageError

MOST_STEPS = 10_000


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """Options of the sampling loop.

    Parameters
    ----------
    sampling_steps
        How often the model runs.
    temperature
        Divides the logits; at 0 or below it counts as 1, as in the original.
    mask_temperature
        Scales the noise that is added to the confidence by which tokens are kept; it falls to 0 in the last step.
    top_p
        Only the most probable tokens up to this cumulative probability are drawn; None or 1: all. It acts
        before the temperature.
    top_k
        Only so many most probable tokens are drawn; None: all.
    typical_filtering
        Draw typical tokens only: those whose information is next to the entropy. The original computes this
        filter and drops it, so it is off unless asked for.
    typical_mass
        The probability that typical tokens have together, at least.
    typical_min_tokens
        How many of the most typical tokens are always kept.
    sample_cutoff
        Beyond this share of the steps the most probable token is taken.
    cfg_scale
        Of classifier-free guidance, for a model with controls: logits are ``u + cfg_scale·(c - u)``, of the
        model without and with them.

    Raises
    ------
    UsageError
        If a value is out of range.

    """

    sampling_steps: int = 12
    temperature: float = 1.0
    mask_temperature: float = 10.5
    top_p: float | None = None
    top_k: int | None = None
    typical_filtering: bool = False
    typical_mass: float = 0.15
    typical_min_tokens: int = 64
    sample_cutoff: float = 1.0
    cfg_scale: float = 3.0

    def __post_init__(self) -> None:
        _whole("sampling_steps", self.sampling_steps, MOST_STEPS)
        _whole("typical_min_tokens", self.typical_min_tokens)
        if self.top_k is not None:
            _whole("top_k", self.top_k)
        if self.top_p is not None:
            share("top_p", self.top_p)
        share("typical_mass", self.typical_mass)
        for name in ("temperature", "mask_temperature", "sample_cutoff", "cfg_scale"):
            if not math.isfinite(getattr(self, name)):
                raise UsageError(f"{name} is {getattr(self, name)}", "give a finite number")

    def samples(self, step: int) -> bool:
        """Whether tokens are drawn in a step; otherwise the most probable ones are taken."""
        return step / self.sampling_steps <= self.sample_cutoff


def share(name: str, value: float) -> None:
    """Raise an error unless a value is from 0 to 1."""
    if not 0 <= value <= 1:
        raise UsageError(f"{name} is {value}", "give a number from 0 to 1")


def _whole(name: str, value: int, most: float = math.inf) -> None:
    if isinstance(value, bool) or value != int(value) or not 1 <= value <= most:
        upto = f" up to {most}" if most < math.inf else ""
        raise UsageError(f"{name} is {value}", f"give a whole number from 1{upto}")
