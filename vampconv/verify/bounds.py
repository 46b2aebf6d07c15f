"""How far a part may be off that was compiled in another precision than float32, on purpose."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import onnx

from vampconv.errors import InputOutputError
from vampconv.passes.pipeline import FULL
from vampconv.rewrite.trace import RULES


@dataclass(frozen=True)
class Bounds:
    """What holds of a part in some precision, instead of what holds in float32.

    Attributes
    ----------
    precision
        Its name.
    error
        Relative L2 error of a value that a change of precision is in, or is before.
    agreement
        Share of positions, at least, whose most likely token is that of float64.
    divergence
        Mean Kullback-Leibler divergence of the distributions, at most, in nats.

    """

    precision: str
    error: float
    agreement: float
    divergence: float

    def flips(self, positions: int) -> float:
        """How many of so many positions may differ: as many as chance makes of the share, by three deviations."""
        share = 1 - self.agreement
        return share * positions + 3 * math.sqrt(share * self.agreement * positions)


BOUNDS: Mapping[str, Bounds] = {
    "fp16": Bounds("fp16", error=5e-3, agreement=0.995, divergence=1e-5),
    "int8": Bounds("int8", error=0.05, agreement=0.95, divergence=3e-3),
    "int4": Bounds("int4", error=0.4, agreement=0.75, divergence=2e-2),
}


def bounds_of(precision: str) -> Bounds | None:
    """The bounds of a precision; None for float32.

    Raises
    ------
    InputOutputError
        If nothing is known of such a precision.

    """
    if precision != FULL and precision not in BOUNDS:
        raise InputOutputError(
            f"there are no bounds for the precision {precision}", "convert again with this version"
        )
    return BOUNDS.get(precision)


@dataclass(frozen=True)
class Reduced:
    """What of one graph is in another precision.

    Attributes
    ----------
    bounds
        For it.
    rules
        The rules that brought the precision.
    values
        Those that they made, and all that is made of these.

    """

    bounds: Bounds
    rules: frozenset[str]
    values: frozenset[str]


def reduced(model: onnx.ModelProto, bounds: Bounds, rules: Collection[str]) -> Reduced:
    """What some rules changed in a graph, by its nodes' own notes."""
    values: set[str] = set()
    for node in model.graph.node:
        made_by = next((p.value for p in node.metadata_props if p.key == RULES), "").split(",")
        if values & set(node.input) or set(rules) & set(made_by):
            values |= set(node.output)
    return Reduced(bounds, frozenset(rules), frozenset(values))
