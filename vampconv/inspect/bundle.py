"""What is in a bundle, and that it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from google.protobuf.message import DecodeError

from vampconv.dialect.op import Array
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError
from vampconv.inspect.statistics import Statistics

LENGTHS = (1, 13, 100)
"""Time steps of the trial runs."""
LOOP_STEPS = 3
"""Steps of the sampling loops' trial runs."""
CHUNK_STEPS = 50
"""Steps of the codes in a chunk of them."""
SAMPLES_PER_STEP = 256
"""Audio samples for each step of a model that has no hop."""


def inspect_bundle(directory: Path) -> dict[str, Any]:
    """The manifest, with the statistics of every weight as it lies in the files."""
    content = read_manifest(directory)
    for entry in content["models"].values():
        stored = _weights(directory / entry["file"])
        for row in entry["initializers"]:
            if row["name"] not in stored:
                raise InputOutputError(f"{entry['file']} has lost its weight {row['name']}", "convert again")
            row["statistics"] = stored[row["name"]].as_json()
    return content


def _weights(path: Path) -> dict[str, Statistics]:
    try:
        constants = {name: v.const_value for name, v in ir.load(path).graph.initializers.items()}
        return {name: Statistics.of(c.numpy()) for name, c in constants.items() if c is not None}
    except (OSError, ValueError, DecodeError) as error:
        raise InputOutputError(f"{path} cannot be read: {error}", "convert again with --force") from error


def try_run(directory: Path) -> list[dict[str, Any]]:
    """Run every model on random inputs of several lengths; each row tells shape, range and milliseconds."""
    rows, content = [], read_manifest(directory)
    models = content["models"]
    loops = [{**e, "architecture": models[e["of"]]["architecture"]} for e in content["loops"].values()]
    whole = [{**e, "architecture": _of_all(models, e["of"])} for e in content["whole"].values()]
    for entry in (*models.values(), *loops, *whole):
        session = _session(directory / entry["file"])
        for batch, steps in ((1, LENGTHS[0]), (1, LENGTHS[2]), (3, LENGTHS[1])):
            feeds = _random_feeds(entry, batch, steps)
            start = time.perf_counter()
            output = np.asarray(session.run(None, feeds)[0])
            rows.append(
                {
                    "file": entry["file"],
                    "input": list(feeds[entry["inputs"][0]["name"]].shape),
                    "output": list(output.shape),
                    "finite": bool(np.isfinite(output).all()),
                    "milliseconds": round(1000 * (time.perf_counter() - start), 2),
                }
            )
    return rows


def _of_all(models: dict[str, Any], parts: list[str]) -> dict[str, Any]:
    """The sizes by which inputs of a graph of several parts are made: audio is of as many steps as its mask."""
    sizes = {key: value for part in parts for key, value in models[part]["architecture"].items()}
    return {**sizes, "min_samples": 0}


def _session(path: Path) -> Any:
    from onnxruntime import InferenceSession, SessionOptions
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    options = SessionOptions()
    options.log_severity_level = 4
    try:
        return InferenceSession(path, options, providers=["CPUExecutionProvider"])
    except tuple(
        v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception)
    ) as error:
        told = str(error).strip().splitlines()[0]
        raise InputOutputError(f"{path} cannot be run: {told}", "convert again with --force") from error


def _random_feeds(entry: dict[str, Any], batch: int, steps: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    architecture = entry["architecture"]
    samples = steps * architecture.get("hop", SAMPLES_PER_STEP) + architecture.get("min_samples", 1)
    sizes = {
        "batch": batch,
        "time": steps,
        "n": min(steps, architecture.get("n_codebooks", 1)),
        "samples": samples,
        "steps": LOOP_STEPS,
        "rows": steps
        * (architecture.get("n_codebooks", 1) - architecture.get("n_conditioning_codebooks", 0)),
    }
    chosen = {"steps": LOOP_STEPS, "seed": 0, "coarse_chunk": CHUNK_STEPS, "c2f_chunk": CHUNK_STEPS}
    feeds: dict[str, Array] = {}
    for port in entry["inputs"]:
        shape = [sizes.get(d, steps) if isinstance(d, str) else d for d in port["shape"]]
        if port["name"] in chosen:
            feeds[port["name"]] = np.asarray(chosen[port["name"]])
        elif port["name"] == "mask":
            feeds["mask"] = random.integers(0, 1, shape, endpoint=True)
        elif port["dtype"] == "int64":
            codes = architecture.get("vocab_size") or architecture.get("codebook_size", 1)
            feeds[port["name"]] = random.integers(0, codes, shape, endpoint=True)
        else:
            feeds[port["name"]] = np.asarray(1 - random.random(shape, np.float32))
    return feeds
