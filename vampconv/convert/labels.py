"""What checkpoints are called in the ledger."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path


def unique_labels(paths: Sequence[Path]) -> list[str]:
    """File names of different files, each with as many of its folders as tell it from the others."""
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(set(parts)) and depth < max(map(len, parts)):
        depth += 1
    labels = ["/".join(p[-depth:]) for p in parts]
    return [os.fsencode(label).decode("utf-8", "backslashreplace") for label in labels]
