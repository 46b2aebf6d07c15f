"""What is in a bundle, and that it runs."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import Array
from vampconv.emit.manifest import read_manifest
from vampconv.errors import InputOutputError
from vampconv.inspect.statistics import Statistics

LENGTHS = (1, 13, 100)
"""Time steps of the trial runs."""


def inspect_bundle(directory: Path) -> dict[str, Any]:
    """The manifest, with the statistics of every weight as it lies in the files."""
    content = read_manifest(directory)
    for entry in content["models"].values():
        model = _load(directory / entry["file"])
        stored = {name: v.const_value for name, v in model.graph.initializers.items()}
        for row in entry["initializers"]:
            tensor = stored.get(row["name"])
            if tensor is None:
                raise InputOutputError(f"{entry['file']} has lost its weight {row['name']}", "convert again")
            row["statistics"] = Statistics.of(tensor.numpy()).as_json()
    return content


def _load(path: Path) -> ir.Model:
    try:
        return ir.load(path)
    except (OSError, ValueError) as error:
        raise InputOutputError(f"{path} cannot be read: {error}", "convert again with --force") from error


def try_run(directory: Path) -> list[dict[str, Any]]:
    """Run every model on random inputs of several lengths; each row tells shape, range and milliseconds."""
    import onnxruntime

    rows = []
    for entry in read_manifest(directory)["models"].values():
        session = onnxruntime.InferenceSession(directory / entry["file"], providers=["CPUExecutionProvider"])
        for batch, steps in ((1, LENGTHS[0]), (1, LENGTHS[2]), (3, LENGTHS[1])):
            feeds = _random_feeds(entry, batch, steps)
            start = time.perf_counter()
            output = np.asarray(session.run(None, feeds)[0])
            rows.append(
                {
                    "file": entry["file"],
                    "codes": list(feeds["codes"].shape),
                    "logits": list(output.shape),
                    "finite": bool(np.isfinite(output).all()),
                    "milliseconds": round(1000 * (time.perf_counter() - start), 2),
                }
            )
    return rows


def _random_feeds(entry: dict[str, Any], batch: int, steps: int) -> dict[str, Array]:
    random = np.random.default_rng(0)
    sizes = {"batch": batch, "time": steps}
    feeds: dict[str, Array] = {}
    for port in entry["inputs"]:
        shape = [sizes.get(d, d) for d in port["shape"]]
        if port["dtype"] == "int64":
            feeds[port["name"]] = random.integers(
                0, entry["architecture"]["vocab_size"], shape, endpoint=True
            )
        else:
            feeds[port["name"]] = random.random(shape, np.float32)
    return feeds
