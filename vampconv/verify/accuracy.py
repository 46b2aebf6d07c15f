"""``accuracy.json``: how near a bundle comes to its checkpoints, as it was last verified; no manifest lists it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from vampconv.emit.standing import ACCURACY
from vampconv.passes.pipeline import FULL
from vampconv.verify.result import PartResult, Verification

FORMAT = 1


def accuracy(found: Verification) -> dict[str, Any]:
    """The accuracy of every part, with the bounds that it is held to and how it was measured."""
    return {
        "format": FORMAT,
        "verdict": str(found.verdict),
        "parts": {part.part: _of(part) for part in found.parts},
        "environment": dict(found.environment),
        "inputs": dict(found.inputs),
    }


def _of(part: PartResult) -> dict[str, Any]:
    tokens = part.tokens
    facts: dict[str, Any] = {
        "precision": part.bounds.precision if part.bounds else FULL,
        "verdict": str(part.verdict),
        "bounds": asdict(part.bounds) if part.bounds else None,
    }
    if tokens is not None:
        facts |= {
            "positions": tokens.positions,
            "equal": tokens.equal,
            "ties": tokens.ties,
            "real": tokens.real,
            "agreement": (tokens.equal + tokens.ties) / tokens.positions,
            "divergence_nats": tokens.kl,
        }
    if part.sounds:
        facts["snr_db"] = min(sound.snr_db for sound in part.sounds)
    outputs = [c.error_ort for c in part.comparisons if c.stands_for.startswith(".")]
    return facts | {"output_error": max(outputs, default=None)}


def write_accuracy(found: Verification, bundle: Path) -> str:
    """Put the file into a bundle in one step; why that could not be done, or nothing."""
    text = json.dumps(_finite(accuracy(found)), indent=1, ensure_ascii=False, allow_nan=False)
    beside = bundle / f".{ACCURACY}.{os.getpid()}"
    try:
        beside.write_text(text + "\n", encoding="utf-8")
        beside.replace(bundle / ACCURACY)
    except OSError as error:
        beside.unlink(missing_ok=True)
        return f"{ACCURACY} was not written: {error.strerror}"
    return ""


def _finite(value: Any) -> Any:
    """NaN and infinities, which JSON has not, as strings."""
    if isinstance(value, Mapping):
        return {key: _finite(entry) for key, entry in value.items()}
    return str(value) if isinstance(value, float) and value - value != 0 else value
