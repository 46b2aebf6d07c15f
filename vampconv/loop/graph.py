"""The whole loop as a model: a transformer's graph becomes the body of an ONNX Loop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx_ir as ir

from vampconv.loop.body import LoopBuilder, port
from vampconv.loop.naming import name_loop
from vampconv.loop.step import Sampler, Sizes
from vampconv.loop.transplant import Transplant

_INT, _FLOAT = ir.DataType.INT64, ir.DataType.FLOAT
OPTIONS = ("temperature", "mask_temperature", "top_p", "sample_cutoff")
OUTPUT = "generated"
"""The output: codes like the input, whose name it cannot have, since ONNX gives every name once."""


def build_loop(transformer: ir.Model, architecture: Mapping[str, Any], *, replay: bool) -> ir.Model:
    """The loop around a written transformer, whose constants it refers to where they lie.

    Parameters
    ----------
    transformer
        A model with the input ``codes``, perhaps ``r`` and controls, and the output ``logits``; it is not changed.
    architecture
        Of the transformer, as the manifest has it.
    replay
        Whether draws are inputs, instead of a seed.

    Returns
    -------
    ir.Model
        Inputs: codes and mask, int64 [batch, n_codebooks, time]; steps and seed, int64 [] (or exponential, float32
        [steps, batch, time·n_predict, vocab], and gumbel, [steps, batch, time·n_predict]); the options, float32 [];
        the controls. Output: int64 [batch, n_codebooks, time].

    """
    sizes = Sizes.of(architecture)
    graft = Transplant(transformer.graph)
    shape: list[int | str | None] = ["batch", sizes.n_codebooks, "time"]
    given = [port(name, _INT, shape) for name in ("codes", "mask")]
    given += [port("steps", _INT, []), *(_draws(sizes) if replay else [port("seed", _INT, [])])]
    given += [port(name, _FLOAT, []) for name in OPTIONS]
    controls = [graft.input(v) for v in transformer.graph.inputs if v.name not in ("codes", "r")]
    op = LoopBuilder()
    output = Sampler(sizes, graft, {v.name or "": v for v in given}).loop(op)
    output.name, output.type, output.shape = OUTPUT, ir.TensorType(_INT), ir.Shape(shape)
    opsets = dict(transformer.graph.opset_imports)
    graph = ir.Graph([*given, *controls], [output], nodes=op.nodes, opset_imports=opsets, name="loop")
    model = ir.Model(graph, ir_version=transformer.ir_version)
    name_loop(model, graft.initializers, op.constants)
    return model


def _draws(sizes: Sizes) -> list[ir.Value]:
    rows = "rows" if sizes.n_predict > 1 else "time"
    return [
        port("exponential", _FLOAT, ["steps", "batch", rows, sizes.vocab]),
        port("gumbel", _FLOAT, ["steps", "batch", rows]),
    ]
