"""What validation found out about each rule."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RuleRecord:
    """All firings of one rule in one model."""

    rule: str
    claim: str
    fired: int = 0
    checked: int = 0
    comparisons: int = 0
    largest_error: float = 0.0
    """Of any element, in units of the root mean square of the value that it is in."""
    worst: str = ""
    """The module at which it was seen."""
    ties: int = 0
    """Elements of indices that float64 itself decides otherwise once its inputs move by a rounding."""
    unchecked: Counter[str] = field(default_factory=Counter)
    """Reasons why firings were not checked, and how many for each."""

    def as_json(self) -> dict[str, Any]:
        """The record as plain values."""
        return {**vars(self), "unchecked": dict(self.unchecked)}
