"""What is in a bundle, and that it runs."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from vampconv.dialect.op import Array
from vampconv.emit.manifest import read_manifest
from vampconv.emit.stored import StoredConstants
from vampconv.errors import InputOutputError, VampconvError
from vampconv.files.models import check_bundled, require_regular
from vampconv.inspect.statistics import Statistics

LENGTHS = (1, 13, 100)
"""Time steps of the trial runs."""
LOOP_STEPS = 3
"""Steps of the sampling loops' trial runs."""
CHUNK_STEPS = 50
"""Steps of the codes in a chunk of them."""
LARGEST = 1 << 26
"""Of an input's elements, and of any size."""
AGAIN = "convert again with --force"
SAMPLES_PER_STEP = 256
"""Audio samples for each step of a model that has no hop."""


def inspect_bundle(directory: Path) -> dict[str, Any]:
    """The manifest, with the statistics of every weight as it lies in the files."""
    content = read_manifest(directory)
    for entry in content["models"].values():
        path = directory / entry["file"]
        check_bundled(path, content["files"])
        with ExitStack() as stack:
            stored = StoredConstants(path, stack)
            for row in entry["initializers"]:
                if row["name"] not in stored.tensors:
                    raise InputOutputError(f"{entry['file']} has lost its weight {row['name']}", AGAIN)
                row["statistics"] = _statistics(stored, row["name"], path)
    return content


def _statistics(stored: StoredConstants, name: str, path: Path) -> dict[str, Any]:
    try:
        return Statistics.of(stored.array(name)).as_json()
    except VampconvError as error:
        raise InputOutputError(f"{path} cannot be read: {name}: {error.problem}", AGAIN) from error


def try_run(directory: Path) -> list[dict[str, Any]]:
    """Run every model on random inputs of several lengths; each row tells shape, range and milliseconds."""
    rows, content = [], read_manifest(directory)
    models = content["models"]
    loops = [{**e, "architecture": models[e["of"]]["architecture"]} for e in content["loops"].values()]
    whole = [{**e, "architecture": _of_all(models, e["of"])} for e in content["whole"].values()]
    for entry in (*models.values(), *loops, *whole):
        path = directory / entry["file"]
        check_bundled(path, content["files"])
        for name in entry["data"]:
            require_regular(directory / name)
        session = _session(path)
        for batch, steps in ((1, LENGTHS[0]), (1, LENGTHS[2]), (3, LENGTHS[1])):
            feeds = _random_feeds(entry, batch, steps)
            start = time.perf_counter()
            with _failing(path):
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

    options = SessionOptions()
    options.log_severity_level = 4
    with _failing(path):
        return InferenceSession(path, options, providers=["CPUExecutionProvider"])


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    """Turn what ONNX Runtime raises about a model into our error."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    known: tuple[type[Exception], ...] = (
        ValueError,
        *(v for v in vars(state).values() if isinstance(v, type) and issubclass(v, Exception)),
    )
    try:
        yield
    except known as error:
        told = str(error).strip().splitlines()[0]
        raise InputOutputError(f"{path} cannot be run: {told}", AGAIN) from error


def _random_feeds(entry: dict[str, Any], batch: int, steps: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    architecture = {k: v for k, v in entry["architecture"].items() if isinstance(v, int) and 0 <= v < LARGEST}
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
        if min(shape, default=0) < 0 or math.prod(shape) > LARGEST:
            raise InputOutputError(f"{entry['file']} takes {port['name']} of the shape {shape}", AGAIN)
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
