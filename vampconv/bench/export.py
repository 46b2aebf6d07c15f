"""Both of torch's exporters; ``python -m vampconv.bench.export BUNDLE PATHS PART OUTPUT`` is one export of a part."""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from vampconv.bench.inputs import inputs
from vampconv.bench.modules import arguments, load_reference, module
from vampconv.runtime.bundle import Bundle

EXPORTERS = ("dynamo", "torchscript")
FRAMES = 40
"""Time steps of the example that is exported."""
MOST_HOPS = 1 << 20


def dynamic_axes(part: str, given: Mapping[str, Tensor], hop: int) -> dict[str, dict[int, Any]]:
    """Which axes of the inputs are dynamic: batch and time; of the encoder's audio whole hops."""
    if part == "encoder":
        return {"audio": {0: Dim.DYNAMIC, 2: hop * Dim("time", min=2, max=MOST_HOPS)}}
    return {
        name: {0: Dim.DYNAMIC} | ({x.ndim - 1: Dim.DYNAMIC} if x.ndim > 1 else {})
        for name, x in given.items()
    }


def export(
    part: nn.Module,
    given: Mapping[str, Tensor],
    dynamic: Mapping[str, Mapping[int, Any]],
    path: Path,
    *,
    kind: str = "dynamo",
    opset: int | None = None,
) -> None:
    """Write what one of torch's exporters makes of a module, from inputs of batch 1, with dynamic batch and time."""
    examples = {name: torch.cat([x, x]) for name, x in given.items()}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            if kind == "dynamo":
                program = torch.onnx.export(
                    part, (), kwargs=arguments(examples), dynamic_shapes=arguments(dynamic),
                    input_names=list(examples), dynamo=True, verbose=False,
                )  # fmt: skip
                assert program is not None
                program.save(path, external_data=True)
            else:
                axes = {n: {a: f"{n}_{a}" for a in of_input} for n, of_input in dynamic.items()}
                torch.onnx.export(
                    part, tuple(examples.values()), str(path), input_names=list(examples),
                    output_names=["output"], dynamic_axes=axes, dynamo=False, opset_version=opset,
                )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)


def main(directory: Path, paths: Mapping[str, Path], part: str, output: Path) -> None:
    """Export a part of the reference that a bundle was made from."""
    bundle = Bundle(directory)
    given = inputs(part, bundle.architecture(part), FRAMES)
    tensors = {name: torch.from_numpy(x) for name, x in given.items()}
    reference = module(part, load_reference(directory, paths, part))
    export(reference, tensors, dynamic_axes(part, tensors, bundle.number("hop")), output)


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
