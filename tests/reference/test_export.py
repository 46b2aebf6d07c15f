"""torch.onnx exports the reference with dynamic batch and time, and ONNX Runtime computes the same."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch.export import Dim


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning")
def test_exported_model_runs_at_other_sizes(workshop, relative):
    """The one with most inputs; what is made of others is in tests/optimize and tests/bench."""
    model = workshop.reference("coarse_ctrl")
    sizes = model.config.ctrl_dims
    batch, time = Dim.DYNAMIC, Dim.DYNAMIC
    dynamic = {
        "codes": {0: batch, 2: time},
        "ctrls": {n: {0: batch, 2: time} for n in sizes},
        "ctrl_masks": {n: {0: batch, 1: time} for n in sizes},
    }
    rng = torch.Generator().manual_seed(4)

    def draw(batch, time):
        return {
            "codes": torch.randint(0, 65, (batch, model.config.n_codebooks, time), generator=rng),
            "ctrls": {n: torch.randn(batch, size, time, generator=rng) for n, size in sizes.items()},
            "ctrl_masks": {n: torch.ones(batch, time) for n in sizes},
        }

    program = torch.onnx.export(
        model, (), kwargs=draw(2, 5), dynamic_shapes=dynamic, dynamo=True, verbose=False
    )
    session = onnxruntime.InferenceSession(
        program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    for size in [(2, 5), (1, 1), (3, 2), (1, 200)]:
        inputs = draw(*size)
        flat = [t for v in inputs.values() for t in (v.values() if isinstance(v, dict) else [v])]
        feeds = {i.name: t.numpy() for i, t in zip(session.get_inputs(), flat, strict=True)}
        (logits,) = session.run(None, feeds)
        assert relative(torch.from_numpy(logits), model(**inputs)) <= 1e-6
