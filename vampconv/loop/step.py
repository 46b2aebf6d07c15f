"""One step of the loop: forward, sample, keep what was not masked, mask the least confident again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.builder import Ops
from vampconv.loop import noise, schedule
from vampconv.loop.body import LoopBuilder, dimension, port
from vampconv.loop.masking import confidences, least_confident
from vampconv.loop.sampling import Draw, by_draws, by_noise, nucleus, probabilities
from vampconv.loop.transplant import Transplant
from vampconv.noise import Stream

_INT, _BOOL = ir.DataType.INT64, ir.DataType.BOOL


@dataclass(frozen=True)
class Sizes:
    """What the loop must know of its transformer."""

    vocab: int
    n_codebooks: int
    n_conditioning: int

    @classmethod
    def of(cls, architecture: Mapping[str, Any]) -> Sizes:
        """The sizes in a part's architecture, as the manifest has it."""
        keys = "vocab_size", "n_codebooks", "n_conditioning_codebooks"
        return cls(*(architecture[key] for key in keys))

    @property
    def n_predict(self) -> int:
        return self.n_codebooks - self.n_conditioning


@dataclass(frozen=True)
class Sampler:
    """The loop's parts, and its inputs by name."""

    sizes: Sizes
    transformer: Transplant
    inputs: Mapping[str, ir.Value]

    def loop(self, op: LoopBuilder) -> Any:
        """Codes of the last step, int64 [batch, n_codebooks, time]."""
        codes, steps = self.inputs["codes"], self.inputs["steps"]
        start = op.Where(op.Equal(self.inputs["mask"], 0), codes, self.sizes.vocab)
        count = op.ReduceSum(op.Cast(op.Equal(start, self.sizes.vocab), to=_INT), keepdims=0)
        state = noise.seeded(op, self.inputs["seed"]) if "seed" in self.inputs else None
        shape: list[int | str | None] = ["batch", self.sizes.n_codebooks, "time"]
        step, going = port("step", _INT, []), port("going", _BOOL, [])
        masked, sampled = port("masked_codes", _INT, shape), port("sampled_codes", _INT, shape)

        def body(op: LoopBuilder) -> list[Any]:
            return [op.Identity(going), *self._step(op, step, masked, count, state)]

        graph = op.subgraph([step, going, masked, sampled], body)
        return op.Loop(steps, np.bool_(True), start, codes, body=graph, outputs=2)[1]

    def _step(self, op: LoopBuilder, step: Any, codes: Any, count: Any, state: Any) -> tuple[Any, Any]:
        """The codes with what is masked again, and those with all that was sampled."""
        given, steps = self.inputs, self.inputs["steps"]
        r = schedule.progress(op, step, steps)
        batch = dimension(op, codes, 0)
        logits = self.transformer.call(op, {"codes": codes, "r": op.Expand(r, batch)})
        logits = nucleus(op, logits, given["top_p"], self.sizes.vocab)
        p = probabilities(op, logits, given["temperature"])
        draw, gumbel = self._random(op, step, batch, p, state)
        share = op.Div(op.Cast(step, to=1), op.Cast(steps, to=1))
        tokens = op.choose(
            op.LessOrEqual(share, given["sample_cutoff"]),
            lambda op: draw(op, p),
            lambda op: op.ArgMax(logits, axis=-1, keepdims=0),
        )
        before = self._flat(op, codes)
        masked = op.Equal(before, self.sizes.vocab)
        number = op.ReduceSum(op.Cast(masked, to=_INT), [1], keepdims=1)
        heat = op.Mul(given["mask_temperature"], op.Sub(1.0, r))
        confidence = confidences(op, p, tokens, masked, heat, gumbel)
        again = schedule.to_mask(op, r, count, number, op.Equal(step, op.Sub(steps, 1)))
        sampled = op.Where(masked, tokens, before)
        remasked = op.Where(least_confident(op, confidence, again), self.sizes.vocab, sampled)
        return self._whole(op, remasked), self._whole(op, sampled)

    def _random(self, op: LoopBuilder, step: Any, batch: Any, p: Any, state: Any) -> tuple[Draw, Any]:
        """How tokens are drawn at this step, and its Gumbel noise [batch, rows]."""
        if state is None:
            return by_draws(self.inputs["exponential"], step), op.Gather(self.inputs["gumbel"], step, axis=0)
        items = op.Unsqueeze(op.Range(0, op.Squeeze(batch, [0]), 1), [1])
        rows = op.Squeeze(dimension(op, p, 1), [0])
        draw = by_noise(noise.at_step(op, state, Stream.EXPONENTIAL, step), items, self.sizes.vocab)
        return draw, noise.gumbel(op, noise.at_step(op, state, Stream.GUMBEL, step), items, rows)

    def _flat(self, op: Ops, codes: Any) -> Any:
        """What is predicted, [batch, time·n_predict], codebook fastest."""
        if self.sizes.n_conditioning:
            codes = op.Slice(codes, [self.sizes.n_conditioning], [self.sizes.n_codebooks], [1])
        return op.Reshape(op.Transpose(codes, perm=[0, 2, 1]), [0, -1])

    def _whole(self, op: Ops, flat: Any) -> Any:
        """The inverse of `_flat`, with the conditioning codebooks as they were given."""
        n = self.sizes.n_predict
        codes = op.Reshape(flat, op.Concat(op.Shape(flat, start=0, end=1), [-1, n], axis=0))
        codes = op.Transpose(codes, perm=[0, 2, 1])
        if not self.sizes.n_conditioning:
            return codes
        kept = op.Slice(self.inputs["codes"], [0], [self.sizes.n_conditioning], [1])
        return op.Concat(kept, codes, axis=1)
