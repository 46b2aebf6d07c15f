"""VampNet's transformer as a graph of ``vamp`` ops, time-major throughout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import onnx_ir as ir

from vampconv.dialect import NodeBuilder, vamp
from vampconv.errors import UnsupportedModelError
from vampconv.frontend.architecture import MASK, VampNetArchitecture
from vampconv.frontend.lora import SCALE, pair_of
from vampconv.frontend.weights import Weights

EPS = 1e-6
MAX_DISTANCE = 128
BUCKETS = 32


class VampNetFrontend:
    """Builds the graph of one model.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    architecture
        Its sizes.
    tables
        The codec's table for each codebook.
    fine_tune
        A LoRA fine-tune that takes the place of the checkpoint's own pairs.

    """

    def __init__(
        self,
        weights: Weights,
        architecture: VampNetArchitecture,
        tables: Sequence[ir.Value],
        fine_tune: Weights | None = None,
    ) -> None:
        self.weights = weights
        self.a = architecture
        self.tables = tables
        self.fine_tune = fine_tune
        self.op = NodeBuilder()
        self.vamp = vamp(self.op)
        self.inputs: list[ir.Value] = []

    def build(self, opset: int) -> ir.Model:
        """The whole model: codes (and r, controls) in, logits out."""
        a = self.a
        codes = self._input("codes", ir.DataType.INT64, "batch", a.n_codebooks, "time")
        x = self._controls(self._embedding(codes))
        condition = self._condition()
        length = self.op.Shape(codes, start=2, end=3)
        for i in range(a.n_layers):
            with self._module(f"transformer.layers.{i}"):
                x = self._layer(x, condition, length)
        with self._module("transformer.norm"):
            x = self._norm(x)
        logits = self._classifier(x)
        logits.name = "logits"
        self.weights.settle()
        if self.fine_tune:
            self.fine_tune.settle()
        return self._model(logits, opset)

    def _model(self, logits: ir.Value, opset: int) -> ir.Model:
        graph = ir.Graph(
            self.inputs, [logits], nodes=self.op.nodes, name=self.a.kind, opset_imports={"": opset, "vamp": 1}
        )
        for constant in dict.fromkeys(
            v for n in graph for v in n.inputs if v is not None and v.const_value is not None
        ):
            if constant.name is None:
                constant.name = f"number.{len(graph.initializers)}"
            graph.register_initializer(constant)
        return ir.Model(graph, ir_version=10)

    def _input(self, name: str, dtype: ir.DataType, *shape: int | str) -> ir.Value:
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        self.inputs.append(value)
        return value

    @contextmanager
    def _module(self, path: str) -> Iterator[None]:
        """Everything built inside stands for the module `path` below the present one."""
        outer = self.op.module
        self.op.module = f"{outer}.{path}" if outer else path
        try:
            yield
        finally:
            self.op.module = outer

    def _here(self, name: str, *shape: int) -> ir.Value:
        """A weight of the present module."""
        return self.weights.take(f"{self.op.module}.{name}", *shape)

    def _embedding(self, codes: ir.Value) -> ir.Value:
        a = self.a
        with self._module("embedding"):
            mask = self.weights.take(MASK, a.n_codebooks, a.latent_dim)
            latents = [
                self.vamp.CodebookEmbedding(codes, table, mask, codebook=i)
                for i, table in enumerate(self.tables)
            ]
            joined = self.op.Concat(*latents, axis=-1)
            joined.shape = ir.Shape(("batch", "time", a.n_codebooks * a.latent_dim))
            with self._module("out_proj"):
                weight = self._here("weight", a.embedding_dim, a.n_codebooks * a.latent_dim, 1)
                return self.vamp.PointwiseConv(joined, weight, self._here("bias", a.embedding_dim))

    def _controls(self, x: ir.Value) -> ir.Value:
        total: ir.Value | None = None
        for name, dim in self.a.ctrl_dims.items():
            control = self._input(f"ctrl.{name}", ir.DataType.FLOAT, "batch", dim, "time")
            mask = self._input(f"ctrl_mask.{name}", ir.DataType.FLOAT, "batch", "time")
            with self._module(f"ctrl_encoder.ctrl_encoders.{name}"):
                weight = self._here("weight", self.a.embedding_dim, dim)
                encoded = self.vamp.ControlEncoder(
                    control, mask, weight, self._here("bias", self.a.embedding_dim)
                )
            with self._module("ctrl_encoder"):
                total = encoded if total is None else self._add(total, encoded)
        return x if total is None else self._add(x, total)

    def _condition(self) -> ir.Value | None:
        if not self.a.r_cond_dim:
            return None
        if self.a.r_cond_dim < 4:
            raise UnsupportedModelError(
                f"{self.weights.checkpoint.path.name}: r_cond_dim={self.a.r_cond_dim} has no two frequencies",
                "the original divides by zero there: only 4 and more can be converted",
            )
        level = self._input("r", ir.DataType.FLOAT, "batch")
        with self._module("r_embed"):
            return self.vamp.NoiseEmbedding(level, dim=self.a.r_cond_dim)

    def _layer(self, x: ir.Value, condition: ir.Value | None, length: ir.Value) -> ir.Value:
        for norm, film, block in (
            ("norm_1", "film_1", self._attention),
            ("norm_3", "film_3", self._feed_forward),
        ):
            with self._module(norm):
                y = self._norm(x)
            with self._module(film):
                y = self._film(y, condition)
            x = self._add(x, block(y, length))
        return x

    def _norm(self, x: ir.Value) -> ir.Value:
        return self.vamp.RMSNorm(x, self._here("weight", self.a.embedding_dim), eps=EPS)

    def _film(self, x: ir.Value, condition: ir.Value | None) -> ir.Value:
        if condition is None:
            return self.vamp.FiLM(x)
        dim, r = self.a.embedding_dim, self.a.r_cond_dim
        gamma = self._here("gamma.weight", dim, r), self._here("gamma.bias", dim)
        beta = self._here("beta.weight", dim, r), self._here("beta.bias", dim)
        return self.vamp.FiLM(x, condition, *gamma, *beta)

    def _attention(self, x: ir.Value, length: ir.Value) -> ir.Value:
        a, dim = self.a, self.a.embedding_dim
        with self._module("self_attn"):
            if a.flash_attn:
                q, k, v = self._fused_projections(x)
                return self._linear_bias("out_proj", self.vamp.Attention(q, k, v, heads=a.n_heads), dim, dim)
            q, k, v = (self._linear(name, x, dim, dim) for name in ("w_qs", "w_ks", "w_vs"))
            # Every layer adds the bias that layer 0 computes from its table.
            table = "transformer.layers.0.self_attn.relative_attention_bias.weight"
            bias = self.vamp.RelativePositionBias(
                length, self.weights.take(table, BUCKETS, a.n_heads), max_distance=MAX_DISTANCE
            )
            return self._linear("fc", self.vamp.Attention(q, k, v, bias, heads=a.n_heads), dim, dim)

    def _fused_projections(self, x: ir.Value) -> tuple[ir.Value, ...]:
        dim = self.a.embedding_dim
        fused = self._linear_bias("Wqkv", x, 3 * dim, dim)
        parts: tuple[ir.Value, ...] = self.op.Split(fused, [dim] * 3, axis=-1, outputs=3)
        for part in parts:
            part.shape, part.type = x.shape, x.type
        return parts

    def _feed_forward(self, x: ir.Value, length: ir.Value) -> ir.Value:
        del length
        dim = self.a.embedding_dim
        with self._module("feed_forward"):
            x = self._linear("w_1", x, 4 * dim, dim)
            with self._module("act"):
                x = self.vamp.GatedGELU(x)
            return self._linear("w_2", x, dim, 2 * dim)

    def _linear(self, name: str, x: ir.Value, out: int, into: int) -> ir.Value:
        with self._module(name):
            weight = self._here("weight", out, into)
            if self.op.module in self.a.adaptable():
                weight = self._adapted(weight, (out, into))
            return self.vamp.Linear(x, weight)

    def _linear_bias(self, name: str, x: ir.Value, out: int, into: int) -> ir.Value:
        """A linear of FlashMHA, whose bias is optional."""
        with self._module(name):
            weight = self._here("weight", out, into)
            bias = (self._here("bias", out),) if f"{self.op.module}.bias" in self.weights else ()
            return self.vamp.Linear(x, weight, *bias)

    def _adapted(self, weight: ir.Value, size: tuple[int, int]) -> ir.Value:
        """The weight with the LoRA pair over it: the fine-tune's, or the checkpoint's own, or none."""
        pair = pair_of(self.op.module, size)
        own = [name for name in pair if name in self.weights]
        if own:
            for name, shape in pair.items():
                self.weights.expect(name, shape)
        if self.fine_tune:
            self.weights.put_aside(own)
        elif not own:
            return weight
        source = self.fine_tune or self.weights
        a, b = (source.take(name, *shape) for name, shape in pair.items())
        return self.vamp.LoRA(weight, a, b, scale=SCALE)

    def _classifier(self, x: ir.Value) -> ir.Value:
        a = self.a
        rows = a.vocab_size * a.n_predict
        with self._module("classifier.layers.0"):
            weight = self.vamp.WeightNorm(
                self._here("weight_g", rows, 1, 1), self._here("weight_v", rows, a.embedding_dim, 1)
            )
            return self.vamp.Classifier(x, weight, self._here("bias", rows), n_predict=a.n_predict)

    def _add(self, x: ir.Value, y: ir.Value) -> ir.Value:
        total: ir.Value = self.op.Add(x, y)
        total.shape, total.type = x.shape, x.type
        return total
