"""What a benchmark found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vampconv.bench.turns import Outcome

OURS, FLOOR, REFERENCE, EXPORTER = "ours", "floor", "reference", "exporter"
QUANTISED = "exporter-int8"
COPY, HALF = "cp", "half"
RIVALS = (REFERENCE, EXPORTER, QUANTISED)
NAMES = {
    REFERENCE: "PyTorch, eager",
    EXPORTER: "torch.onnx.export(dynamo=True)",
    QUANTISED: "the same, quantised by ONNX Runtime",
    OURS: "vampconv",
    FLOOR: "its products alone",
    HALF: "vampconv, half the layers",
    COPY: "cp",
}


@dataclass(frozen=True)
class Column:
    """A bundle that is measured."""

    label: str
    """Precision and target, with its name where others have the same."""
    directory: Path
    precision: str
    target: str
    full_size: frozenset[str] = frozenset()
    """Its models that are as large as the trained ones."""


@dataclass(frozen=True)
class Entry:
    """How one contestant did."""

    who: str
    label: str
    """Of the column, of what is ours."""
    outcome: Outcome
    agreement: Mapping[str, float] = field(default_factory=dict)
    """With the reference's output; see `vampconv.bench.agreement`."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{NAMES[self.who]}, {self.label}" if self.label else NAMES[self.who]


@dataclass(frozen=True)
class Contest:
    """One part of the work, and how all did."""

    part: str
    """Of a bundle, or ``convert`` or ``vamp``."""
    seconds: float | None
    """Of audio."""
    entries: Sequence[Entry]

    def find(self, who: str, label: str = "") -> Entry | None:
        """The entry of a contestant, if it was there."""
        return next((e for e in self.entries if (e.who, e.label) == (who, label)), None)


@dataclass(frozen=True)
class Point:
    """One run of a plot."""

    part: str
    who: str
    label: str
    x: float
    """Seconds of audio, or parameters."""
    seconds: float


@dataclass(frozen=True)
class Bench:
    """All of it."""

    environment: Mapping[str, Any]
    size: str
    """``full`` for models of the trained size, otherwise ``small`` or ``own``."""
    rounds: int
    columns: Sequence[Column]
    contests: Sequence[Contest]
    lengths: Sequence[Point] = ()
    sizes: Sequence[Point] = ()
    notes: Sequence[str] = ()
    """What was not measured, and why."""

    def failures(self) -> list[tuple[Contest, Entry]]:
        """Contestants that did not finish."""
        return [(c, e) for c in self.contests for e in c.entries if e.outcome.failure is not None]
