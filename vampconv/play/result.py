"""What came out of a vamp."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vampconv.runtime.audio.levels import Levels


@dataclass(frozen=True)
class Output:
    """One variation.

    Parameters
    ----------
    file
        Of its audio; None: stdout.
    seed
        That makes it again.
    levels
        Of its audio.
    kept
        The share of its tokens that the mask, and the ends of chunks, kept.
    same
        The share of its tokens that are those of the input.

    """

    file: Path | None
    seed: int
    levels: Levels
    kept: float
    same: float

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        shares = {"kept": round(self.kept, 4), "same": round(self.same, 4)}
        return {"file": str(self.file), "seed": self.seed, **self.levels.as_json(), **shares}


@dataclass(frozen=True)
class Result:
    """All of it.

    Parameters
    ----------
    source
        What was vamped, in words.
    before
        Of its audio as it was encoded; None for tokens.
    outputs
        What was made.
    more
        Other files that were written.
    facts
        Sizes: time, codebooks, chunks of each model.
    seconds
        How long each part took.
    warnings
        For the user.

    """

    source: str
    before: Levels | None
    outputs: Sequence[Output]
    more: Sequence[Path]
    facts: Mapping[str, int]
    seconds: Mapping[str, float]
    warnings: Sequence[str]

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "source": self.source,
            "before": self.before and self.before.as_json(),
            "outputs": [output.as_json() for output in self.outputs],
            "more_files": [str(path) for path in self.more],
            **self.facts,
            "took_seconds": {part: round(seconds, 3) for part, seconds in self.seconds.items()},
            "warnings": list(self.warnings),
        }
