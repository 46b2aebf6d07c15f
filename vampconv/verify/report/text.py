"""How numbers, indices and names are written."""

from __future__ import annotations

import math
from collections.abc import Sequence


def plain(text: object) -> str:
    """One line of a text that a file chose, without control characters or changes of direction."""
    return "".join(c if c.isprintable() else " " if c in "\n\t" else "?" for c in str(text))


def number(value: float, digits: int = 3) -> str:
    """A number with some significant digits: ``131``, ``0.25``, ``0``, ``NaN``, ``inf``."""
    return "NaN" if math.isnan(value) else f"{value:.{digits}g}"


def error(value: float | None) -> str:
    """An error, with its power of ten: ``3.21e-07``, ``0``, ``NaN``, ``inf``; a dash where it was not measured."""
    if value is None:
        return "–"
    return f"{value:.2e}" if value and math.isfinite(value) else number(value)


def ratio(value: float) -> str:
    """How many times the bound an error is: ``< 0.01``, ``0.64``, ``719``, ``3.1e+06``."""
    if not 0 < value < math.inf:
        return number(value)
    if value < 0.01:
        return "< 0.01"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}" if value < 1e5 else f"{value:.1e}"


def index(position: Sequence[int]) -> str:
    """A position in a tensor: ``[0, 3, 17]``; a dash where there is none."""
    return f"[{', '.join(map(str, position))}]" if position else "–"


def count(amount: int, noun: str) -> str:
    """``1 value``, ``3,012 values``."""
    return f"{amount:,} {noun}{'s' * (amount != 1)}"
