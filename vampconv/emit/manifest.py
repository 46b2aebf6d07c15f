"""``vampconv.json``: what a bundle holds and where it came from."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import onnx_ir as ir

from vampconv import __version__
from vampconv.emit.ledger import Account
from vampconv.emit.shapes import SHAPES, misfit
from vampconv.emit.standing import MANIFEST
from vampconv.emit.writer import WrittenFile
from vampconv.errors import InputOutputError
from vampconv.files.regular import read_json

FORMAT = 1
LIBRARIES = ("numpy", "onnx", "onnx-ir", "onnxscript")
SECONDS_PER_CHUNK = {"coarse": 10, "c2f": 3}
"""Lengths in which the original runs its models."""


def model_entry(
    model: ir.Model,
    files: Sequence[WrittenFile],
    architecture: Mapping[str, Any],
    rules: Mapping[str, int],
    weights: Sequence[Mapping[str, Any]],
    compiled_for: Mapping[str, Any],
) -> dict[str, Any]:
    """The manifest's entry of one model."""
    graph = model.graph
    return {
        "file": files[0].name,
        "data": [f.name for f in files[1:]],
        "architecture": dict(architecture),
        "opset": graph.opset_imports[""],
        **compiled_for,
        "ir_version": model.ir_version,
        "inputs": [_port(v) for v in graph.inputs],
        "outputs": [_port(v) for v in graph.outputs],
        "nodes": sum(1 for _ in graph),
        "rules": dict(rules),
        "initializers": [dict(w) for w in weights],
    }


def loop_entry(model: ir.Model, file: str, of: str, data: Sequence[str], draws: str) -> dict[str, Any]:
    """The manifest's entry of a sampling loop around the part `of`, whose data files it uses."""
    return {
        "file": file,
        "data": list(data),
        "of": of,
        "draws": draws,
        "opset": model.graph.opset_imports[""],
        "ir_version": model.ir_version,
        "inputs": [_port(v) for v in model.graph.inputs],
        "outputs": [_port(v) for v in model.graph.outputs],
    }


def whole_entry(model: ir.Model, file: str, of: Sequence[str], data: Sequence[str]) -> dict[str, Any]:
    """The manifest's entry of a graph that is made of several parts, whose data files it uses."""
    return {
        "file": file,
        "data": list(data),
        "of": list(of),
        "opset": model.graph.opset_imports[""],
        "ir_version": model.ir_version,
        "inputs": [_port(v) for v in model.graph.inputs],
        "outputs": [_port(v) for v in model.graph.outputs],
    }


def checkpoint_entry(account: Account) -> dict[str, Any]:
    """The manifest's entry of one checkpoint: its identity and its part of the ledger."""
    checkpoint = account.weights.checkpoint
    return {
        "file": account.label,
        "kind": account.kind,
        "format": checkpoint.format,
        "bytes": checkpoint.size,
        "sha256": checkpoint.sha256(),
        "tensors": [entry.as_json() for entry in account.entries.values()],
    }


def manifest(
    models: Mapping[str, Mapping[str, Any]],
    loops: Mapping[str, Mapping[str, Any]],
    checkpoints: Sequence[Mapping[str, Any]],
    files: Sequence[WrittenFile],
    facts: Mapping[str, Any],
    plugins: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """The whole manifest; it depends on the inputs and versions alone."""
    return {
        "format": FORMAT,
        "vampconv": __version__,
        "versions": {name: version(name) for name in LIBRARIES},
        "plugins": [dict(plugin) for plugin in plugins],
        **facts,
        "chunk_seconds": {name: SECONDS_PER_CHUNK[name] for name in models if name in SECONDS_PER_CHUNK},
        "models": dict(models),
        "loops": dict(loops),
        "whole": {},
        "checkpoints": list(checkpoints),
        "files": {f.name: {"bytes": f.size, "sha256": f.sha256} for f in files},
    }


def write_manifest(content: Mapping[str, Any], directory: Path) -> None:
    """Write ``vampconv.json``."""
    text = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False)
    (directory / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(directory: Path) -> dict[str, Any]:
    """The manifest of a bundle.

    Raises
    ------
    InputOutputError
        If there is none, or it cannot be understood.

    """
    path = directory / MANIFEST
    if not os.path.lexists(path):
        raise InputOutputError(
            f"{directory} is not a bundle: it has no {MANIFEST}", "give a converted bundle"
        )
    try:
        content = read_json(path)
    except ValueError as error:
        raise InputOutputError(f"{path} cannot be read: {error}", "convert again with --force") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise InputOutputError(
            f"{path} is not a manifest of format {FORMAT}", "convert again with this version"
        )
    for key in ("loops", "whole"):
        content.setdefault(key, {})  # absent where an earlier version wrote it
    damage = _damage(content)
    if damage:
        raise InputOutputError(f"{path} is damaged: {damage}", "convert again with --force")
    return content


def _damage(content: Mapping[str, Any]) -> str | None:
    """What of a manifest is not as it was written, so far as readers rely on it."""
    for key, shape in SHAPES.items():
        wrong = misfit(content.get(key), shape)
        if wrong is not None:
            return f"its entry of {key}.{wrong} is incomplete" if wrong else f"it has no {key}"
    files, models = content["files"], content["models"]
    for name, entry in (pair for key in ("models", "loops", "whole") for pair in content[key].items()):
        of = entry.get("of", name)
        for part in of if isinstance(of, list) else [of]:
            if part not in models:
                return f"{name} is a loop around {part!r}, which it does not have"
        strange = [f for f in (entry["file"], *entry["data"]) if f not in files or Path(f).name != f]
        if strange:
            return f"{name} names {strange[0]!r}, which is no file of the bundle"
    return None


def _port(value: ir.Value) -> dict[str, Any]:
    assert value.shape is not None
    assert value.dtype is not None
    shape = [d if isinstance(d, int) else str(d.value) for d in value.shape]
    return {"name": value.name, "dtype": str(value.dtype.numpy()), "shape": shape}
