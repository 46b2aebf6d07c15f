"""A whole vamp as one graph: audio, codes, the loops of both transformers chunk by chunk, audio."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import Ops
from vampconv.loop import noise
from vampconv.loop.body import LoopBuilder, dimension, port
from vampconv.loop.graph import OPTIONS, OUTPUT
from vampconv.loop.naming import name_loop
from vampconv.loop.step import Sampler, Sizes
from vampconv.loop.transplant import Transplant
from vampconv.noise import SECOND, P, Q, Stream

PARTS = ("encoder", "coarse", "c2f", "decoder")
"""What it is made of."""
VAMPED = "vamped"
"""The output of audio; `OUTPUT` are its codes."""
PLACE = {"coarse": 0, "c2f": 1}
FINE = {"temperature": 1.0, "mask_temperature": 10.5, "top_p": 1.0, "sample_cutoff": 1.0}
FINE_STEPS = 2
"""The coarse-to-fine model is always sampled so, as in the original."""

_INT, _FLOAT, _BOOL = ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.BOOL


def fits(architectures: Mapping[str, Mapping[str, Any]]) -> bool:
    """Whether parts of these architectures can be one graph: all four, of one codec, without controls."""
    if not all(part in architectures for part in PARTS):
        return False
    encoder, coarse, c2f, _ = (architectures[part] for part in PARTS)
    one_codec = c2f["n_codebooks"] == encoder["n_codebooks"]
    one_codec &= coarse["vocab_size"] == c2f["vocab_size"] == encoder["codebook_size"]
    return (
        one_codec
        and coarse["n_conditioning_codebooks"] == 0
        and not any(a["ctrl_dims"] for a in (coarse, c2f))
    )


def build_audio_loop(
    models: Mapping[str, ir.Model], architectures: Mapping[str, Mapping[str, Any]]
) -> ir.Model:
    """The graph of written models, whose constants it refers to where they lie.

    Parameters
    ----------
    models
        By the names of `PARTS`; they are not changed.
    architectures
        Of each, as the manifest has them; they must fit.

    Returns
    -------
    ir.Model
        Inputs: audio, float32 [batch, 1, samples], as the encoder takes it; mask, int64 [batch, n_codebooks, time];
        steps, seed, and the lengths of chunks in steps of the codes, int64 []; the options, float32 []. Outputs:
        audio, float32 [batch, 1, samples], and its codes, int64 [batch, n_codebooks, time].

    """
    grafts = {part: Transplant(models[part].graph, f"{part}/") for part in PARTS}
    sizes = {part: Sizes.of(architectures[part]) for part in PLACE}
    given = [port("audio", _FLOAT, ["batch", 1, "samples"])]
    given += [port("mask", _INT, ["batch", sizes["c2f"].n_codebooks, "time"])]
    given += [port(name, _INT, []) for name in ("steps", "seed", *(f"{part}_chunk" for part in PLACE))]
    given += [port(name, _FLOAT, []) for name in OPTIONS]
    inputs = {value.name or "": value for value in given}
    op, count = LoopBuilder(), sizes["coarse"].n_codebooks
    codes = grafts["encoder"].call(op, {"audio": inputs["audio"]})
    state = noise.at_step(op, noise.seeded(op, inputs["seed"]), Stream.SEED, 0)
    vamped = Chunks("coarse", sizes["coarse"], grafts["coarse"], inputs, state).loop(
        op, op.Slice(codes, [0], [count], [1]), op.Slice(inputs["mask"], [0], [count], [1])
    )
    rest = op.Slice(codes, [count], [sizes["c2f"].n_codebooks], [1])
    fine: dict[str, Any] = {name: op.constant(np.asarray(value, np.float32)) for name, value in FINE.items()}
    fine |= {"steps": op.constant(FINE_STEPS), "c2f_chunk": inputs["c2f_chunk"]}
    made = Chunks("c2f", sizes["c2f"], grafts["c2f"], fine, state).loop(
        op, op.Concat(vamped, rest, axis=1), inputs["mask"]
    )
    sound = op.Identity(grafts["decoder"].call(op, {"codes": made}))
    for value, name, like in ((sound, VAMPED, inputs["audio"]), (made, OUTPUT, inputs["mask"])):
        value.name, value.type = name, like.type
    sound.shape = ir.Shape(["batch", 1, "vamped_samples"])
    made.shape = ir.Shape(["batch", sizes["c2f"].n_codebooks, "time"])
    opsets = {domain: n for part in PARTS for domain, n in models[part].graph.opset_imports.items()}
    graph = ir.Graph(given, [sound, made], nodes=op.nodes, opset_imports=opsets, name="vamp")
    model = ir.Model(graph, ir_version=max(models[part].ir_version for part in PARTS))
    name_loop(model, [v for graft in grafts.values() for v in graft.initializers], op.constants)
    return model


class Chunks:
    """The loop of one transformer over chunks of codes.

    Parameters
    ----------
    part
        ``coarse`` or ``c2f``.
    sizes, transformer
        Its sizes and its graph.
    inputs
        Values by name: steps, the options, and the length of a chunk.
    state
        Of the noise, before the part's number and the chunk's.

    """

    def __init__(
        self, part: str, sizes: Sizes, transformer: Transplant, inputs: Mapping[str, Any], state: Any
    ) -> None:
        self.part, self.sizes, self.transformer, self.inputs = part, sizes, transformer, inputs
        self.state = state

    def loop(self, op: LoopBuilder, codes: Any, mask: Any) -> Any:
        """All chunks' codes, int64 [batch, n_codebooks, time]."""
        length = op.Unsqueeze(self.inputs[f"{self.part}_chunk"], [0])
        time = dimension(op, codes, 2)
        count = op.Squeeze(op.Div(op.Sub(op.Add(time, length), 1), length), [0])
        state = noise.mix(op, self.state, PLACE[self.part])
        state = noise.mix(op, state, 0)  # the feedback step
        number, going = port("chunk", _INT, []), port("chunk_going", _BOOL, [])
        made = port("chunks", _INT, ["batch", self.sizes.n_codebooks, None])

        def body(op: LoopBuilder) -> list[Any]:
            start = op.Mul(op.Unsqueeze(number, [0]), length)
            stop = op.Min(op.Add(start, length), time)
            known, hidden = (op.Slice(value, start, stop, [2]) for value in (codes, mask))
            inputs = {**self.inputs, "seed": _child(op, state, number)}
            prepare = self._padded if self.part == "c2f" else self._with_ends
            inputs["codes"], inputs["mask"] = prepare(op, known, hidden, op.Sub(stop, start), length)
            new = Sampler(self.sizes, self.transformer, inputs).loop(op)
            return [op.Identity(going), op.Concat(made, op.Slice(new, [0], op.Sub(stop, start), [2]), axis=2)]

        graph = op.subgraph([number, going, made], body)
        return op.Loop(count, np.bool_(True), op.Slice(codes, [0], [0], [2]), body=graph)

    def _with_ends(self, op: Ops, codes: Any, mask: Any, time: Any, _length: Any) -> tuple[Any, Any]:
        """The first and the last step of a chunk are kept where anything in it is."""
        places = op.Range(0, op.Squeeze(time, [0]), 1)
        inner = op.And(op.Greater(places, 0), op.Less(places, op.Sub(time, 1)))
        kept = op.Equal(op.ReduceMax(op.Cast(op.Equal(mask, 0), to=_INT), keepdims=0), 1)
        chosen = op.And(op.Not(op.Equal(mask, 0)), op.Or(inner, op.Not(kept)))
        return codes, op.Cast(chosen, to=_INT)

    def _padded(self, op: Ops, codes: Any, mask: Any, time: Any, length: Any) -> tuple[Any, Any]:
        """A chunk of whole length: zeros, which are masked, fill it up; what conditions is never masked."""
        ends = op.Concat([0, 0, 0, 0, 0], op.Sub(length, time), axis=0)
        fixed, total = self.sizes.n_conditioning, self.sizes.n_codebooks
        whole = op.Pad(mask, ends, 1)
        free = op.Slice(whole, [fixed], [total], [1])
        if fixed:
            free = op.Concat(op.Mul(op.Slice(whole, [0], [fixed], [1]), 0), free, axis=1)
        return op.Pad(codes, ends, 0), free


def _child(op: Ops, state: Any, chunk: Any) -> Any:
    """:meth:`vampconv.noise.Noise.child`, of the state after the words before the chunk's: int64 []."""
    state = noise.mix(op, state, chunk)
    return op.Add(state, op.Mul(op.Mod(noise.mix(op, state, SECOND), Q), P))
