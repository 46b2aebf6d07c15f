"""What torch's two exporters make of the reference: fewer nodes, the same numbers, at sizes that were not exported."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from vampconv.bench.checkpoints import Size
from vampconv.bench.export import dynamic_axes, export
from vampconv.bench.inputs import inputs
from vampconv.bench.optimize import subject
from vampconv.optimize import Request, optimize

from .running import run_model

LAYERS, WIDTH = Size(layers=2, width=10), Size(width=16, blocks=2)
TRANSFORMER = {"RaiseRMSNorm": 5, "RaisePositionBias": 1, "RaiseHeadsFirstAttention": 2}
RAISED = {
    "coarse": TRANSFORMER,
    "c2f": TRANSFORMER,
    "encoder": {"RaiseFoldedSnake": 15, "RaiseNearestCode": 14},
    "decoder": {"RaiseRequantize": 14, "RaiseNearestCode": 14},
}
CASES = [
    *(("coarse", kind) for kind in ("dynamo", "torchscript")),
    *((part, "torchscript") for part in ("c2f", "encoder", "decoder")),
]


@pytest.mark.parametrize(("part", "kind"), CASES)
@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning")
def test_an_export_is_smaller_and_computes_the_same(tmp_path, part, kind):
    of = subject(part, LAYERS, WIDTH, 0.1)
    given = {name: torch.from_numpy(x) for name, x in of.inputs.items()}
    before, after = tmp_path / "exported.onnx", tmp_path / "optimised.onnx"
    export(of.module, given, dynamic_axes(part, given, of.hop), before, kind=kind, opset=17)
    found = optimize(Request(before, after))
    onnx.checker.check_model(str(after), full_check=True)
    assert not found.notes
    assert found.after.nodes < found.before.nodes
    assert found.rules.items() >= RAISED[part].items()
    sizes = {"n_codebooks": 14, "vocab_size": 1024, "codebook_size": 1024, "hop": of.hop}
    sizes |= {"n_codebooks": 4} if part == "coarse" else {}
    for feeds in (of.inputs, inputs(part, sizes, 1), inputs(part, sizes, 7)):
        (found_,), (wanted,) = run_model(after, feeds), run_model(before, feeds)
        if wanted.dtype.kind == "i":
            np.testing.assert_array_equal(found_, wanted)
        else:
            np.testing.assert_allclose(found_, wanted, rtol=1e-4, atol=1e-5 * np.abs(wanted).max())
