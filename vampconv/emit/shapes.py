"""What the values of a manifest are, so far as its readers rely on them."""

from __future__ import annotations

from collections.abc import Mapping
from types import UnionType
from typing import Any

ANY = "*"
"""Stands in a shape for every key."""
PORT = {"name": str, "dtype": str, "shape": [int | str]}
RUN = {"file": str, "data": [str], "opset": int, "inputs": [PORT]}
WEIGHT = {"name": str, "shape": [int], "dtype": str, "from": [str], "expression": str}
MODEL = {**RUN, "architecture": {ANY: object}, "nodes": int, "rules": {ANY: int}, "initializers": [WEIGHT]}
CHECKPOINT = {"file": str, "kind": str, "sha256": str, "tensors": [{"name": str, "fate": str}]}
SHAPES: Mapping[str, Any] = {
    "models": {ANY: MODEL},
    "checkpoints": [CHECKPOINT],
    "files": {ANY: {"bytes": int}},
    "chunk_seconds": {ANY: object},
    "loops": {ANY: {**RUN, "of": str, "draws": str}},
    "whole": {ANY: {**RUN, "of": [str]}},
}
"""Of its values: a type, a list of things that are alike, or keys that must be there, with what each stands for."""


def misfit(value: object, shape: Any) -> str | None:
    """The first entry that has not the shape: its keys, with dots between them; None if all have."""
    if isinstance(shape, dict):
        return _of_keys(value, shape)
    if isinstance(shape, list):
        if not isinstance(value, list):
            return ""
        told = (misfit(item, shape[0]) for item in value)
        return next((f"{i}{'.' * bool(t)}{t}" for i, t in enumerate(told) if t is not None), None)
    assert isinstance(shape, type | UnionType)
    whole = not isinstance(value, bool) or shape is object
    return None if whole and isinstance(value, shape) else ""


def _of_keys(value: object, shape: Mapping[str, Any]) -> str | None:
    if not isinstance(value, dict):
        return ""
    keys = value if ANY in shape else shape
    for key in keys:
        told = "" if key not in value else misfit(value[key], shape.get(key, shape.get(ANY)))
        if told is not None:
            return f"{key}{'.' * bool(told)}{told}"
    return None
