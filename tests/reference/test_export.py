"""torch.onnx exports the reference with dynamic batch and time, and ONNX Runtime computes the same."""

from __future__ import annotations

import onnxruntime
import pytest
import torch
from torch.export import Dim


def export(model, inputs, dynamic):
    program = torch.onnx.export(model, (), kwargs=inputs, dynamic_shapes=dynamic, dynamo=True, verbose=False)
    model_bytes = program.model_proto.SerializeToString()
    return onnxruntime.InferenceSession(model_bytes, providers=["CPUExecutionProvider"])


@pytest.mark.filterwarnings("ignore:.isinstance.treespec, LeafSpec.. is deprecated:FutureWarning")
@pytest.mark.parametrize("name", ["coarse_film", "coarse_ctrl"])
def test_exported_model_runs_at_other_sizes(workshop, relative, name):
    model = workshop.reference(name)
    batch, time = Dim.DYNAMIC, Dim.DYNAMIC
    dynamic = {"codes": {0: batch, 2: time}}
    if name == "coarse_film":
        dynamic["r"] = {0: batch}
    if name == "coarse_ctrl":
        names = model.config.ctrl_dims
        dynamic |= {"ctrls": {n: {0: batch, 2: time} for n in names}}
        dynamic |= {"ctrl_masks": {n: {0: batch, 1: time} for n in names}}

    rng = torch.Generator().manual_seed(4)

    def draw(batch, time):
        codes = torch.randint(0, 65, (batch, model.config.n_codebooks, time), generator=rng)
        inputs = {"codes": codes}
        if name == "coarse_film":
            inputs["r"] = torch.rand(batch, generator=rng)
        if name == "coarse_ctrl":
            sizes = model.config.ctrl_dims
            inputs["ctrls"] = {n: torch.randn(batch, size, time, generator=rng) for n, size in sizes.items()}
            inputs["ctrl_masks"] = {n: torch.ones(batch, time) for n in sizes}
        return inputs

    # the sinusoids of r multiply the last bit of a cosine, which runtimes round differently, by 10⁴
    bound = 1e-3 if name == "coarse_film" else 1e-6
    session = export(model, draw(2, 5), dynamic)
    for size in [(2, 5), (1, 1), (3, 2), (1, 200)]:
        inputs = draw(*size)
        flat = [t for v in inputs.values() for t in (v.values() if isinstance(v, dict) else [v])]
        feeds = {i.name: t.numpy() for i, t in zip(session.get_inputs(), flat, strict=True)}
        (logits,) = session.run(None, feeds)
        assert relative(torch.from_numpy(logits), model(**inputs)) <= bound
