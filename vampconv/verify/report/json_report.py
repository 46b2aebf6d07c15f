"""Every record of a verification as JSON; ``report.schema.json`` describes it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from vampconv.verify.report.summary import part_verdict, verdict
from vampconv.verify.result import Comparison, Coverage, PartResult, Verification

FORMAT = 1
SCHEMA = Path(__file__).with_name("report.schema.json")


def as_json(verification: Verification) -> dict[str, Any]:
    """All records as plain values, with verdicts, ratios and shares computed.

    NaN and infinities, which JSON cannot hold, are the strings ``"nan"``, ``"inf"`` and ``"-inf"``.
    """
    return {"format": FORMAT, **_value(verification)}


def json_text(verification: Verification) -> str:
    """The JSON report."""
    return json.dumps(as_json(verification), allow_nan=False) + "\n"


def _value(value: object) -> Any:
    """A record, container or scalar as JSON has it."""
    if isinstance(value, np.generic):
        value = value.item()
    match value:
        case Enum():
            return value.value
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case Mapping():
            return {str(key): _value(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_value(entry) for entry in value]
    if is_dataclass(value):
        return _computed(value) | {f.name: _value(getattr(value, f.name)) for f in fields(value)}
    raise TypeError(f"a report cannot hold a {type(value).__name__}")


def _computed(record: object) -> dict[str, Any]:
    """What a record does not store but tells."""
    match record:
        case Verification():
            return {"verdict": _value(verdict(record))}
        case PartResult():
            return {"verdict": _value(part_verdict(record))}
        case Comparison():
            return {"ratio": _value(record.ratio)}
        case Coverage():
            return {"share": _value(record.share)}
    return {}
