"""A faulty region cut out of its graph: a model of its own, its inputs and expected outputs, and a script."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnx_graphsurgeon as gs
from torch import Tensor

from vampconv.verify.regions import Regions
from vampconv.verify.result import Fault

SCRIPT = '''"""Shows that one region of {part}.onnx does not compute {stands_for}.

Its inputs are those of the PyTorch reference, and so is the output that is expected. Needs numpy and onnxruntime.
"""

from pathlib import Path

import numpy as np
import onnxruntime

here = Path(__file__).parent
session = onnxruntime.InferenceSession(here / "region.onnx", providers=["CPUExecutionProvider"])
found = session.run(None, dict(np.load(here / "inputs.npz")))[0]
expected = np.load(here / "expected.npy")
if found.shape != expected.shape:
    raise SystemExit(f"shape {{found.shape}}, not {{expected.shape}}")
error = np.linalg.norm(found - expected) / (np.linalg.norm(expected) or 1)
print(f"relative L2 error: {{error:.3e}}")
'''


def write_repro(
    regions: Regions,
    model: Path,
    fault: Fault,
    directory: Path,
    example: tuple[Mapping[str, Tensor], Tensor] | None = None,
) -> str:
    """Write ``region.onnx``, ``inputs.npz``, ``expected.npy`` and ``repro.py``; the directory they are in.

    Parameters
    ----------
    regions
        Of the graph.
    model
        The shipped file.
    fault
        What is wrong.
    directory
        Where the reproductions go; each gets one of its own.
    example
        Inputs that show it and what should come out, if the reference's own do not.

    """
    place = regions.anchors.places[fault.value]
    borders = regions.borders(place)
    name = re.sub(r"[^\w.]+", "-", fault.stands_for).strip("-.") or "output"
    folder = directory / f"{model.stem}-{name}"
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(cut(onnx.load(model), borders, [fault.value]), folder / "region.onnx")
    changed, expected = example or ({}, regions.known[fault.value])
    inputs = {border: _plain({**regions.known, **changed}[border]) for border in borders}
    np.savez(folder / "inputs.npz", **inputs)  # type: ignore[arg-type]
    np.save(folder / "expected.npy", _plain(expected))
    script = SCRIPT.format(part=model.stem, stands_for=fault.stands_for)
    (folder / "repro.py").write_text(script, encoding="utf-8")
    return str(folder)


def cut(model: onnx.ModelProto, inputs: Sequence[str], outputs: Sequence[str]) -> onnx.ModelProto:
    """The part of a graph that makes `outputs` of `inputs`, as a model of its own."""
    graph = gs.import_onnx(model)
    values = graph.tensors()
    graph.inputs = [values[name] for name in inputs]
    for value in graph.inputs:
        value.inputs.clear()
        value.shape = (
            None if value.shape is None else [d if isinstance(d, int) else None for d in value.shape]
        )
    graph.outputs = [values[name] for name in outputs]
    graph.cleanup(remove_unused_graph_inputs=False)
    exported: onnx.ModelProto = gs.export_onnx(graph, do_type_check=False)
    exported.ir_version = model.ir_version
    return exported


def _plain(value: Tensor) -> np.ndarray:
    array = value.contiguous().numpy()
    return array.astype(np.float32) if array.dtype.kind == "f" else array
