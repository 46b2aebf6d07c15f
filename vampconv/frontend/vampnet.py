"""VampNet's transformer as a graph of ``vamp`` ops, time-major throughout."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from vampconv.errors import UnsupportedModelError
from vampconv.frontend.architecture import MASK, VampNetArchitecture
from vampconv.frontend.module_builder import ModuleBuilder
from vampconv.frontend.weights import Weights

EPS = 1e-6
MAX_DISTANCE = 128
BUCKETS = 32
FLOAT = ir.TensorType(ir.DataType.FLOAT)
SENSITIVE = ("embedding", "ctrl_encoder", "r_embed", "*.film_1", "*.film_3")
"""Modules whose errors all layers inherit; they are small."""
BY_TIME = "021"
"""Order of the axes here of what has time last in PyTorch."""
POSITION_TABLE = "transformer.layers.0.self_attn.relative_attention_bias.weight"
"""The table from which every layer's position bias comes."""


def build_vampnet(
    weights: Weights,
    architecture: VampNetArchitecture,
    tables: Sequence[ir.Value],
    fine_tune: Weights | None = None,
    *,
    opset: int,
) -> ir.Model:
    """The graph of one model: codes (and r, controls) in, logits out.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    architecture
        Its sizes.
    tables
        The codec's table for each codebook, [vocab_size, latent_dim].
    fine_tune
        A LoRA fine-tune that takes the place of the checkpoint's own pairs.
    opset
        Version of the standard ops in the graph.

    Raises
    ------
    BadInputError
        If a tensor is missing or has the wrong shape.
    UnsupportedModelError
        If the architecture has no place for a tensor.

    """
    builder = ModuleBuilder(weights, fine_tune, architecture.adaptable())
    logits = _Transformer(builder, architecture).logits(tables)
    logits.name = "logits"
    weights.settle()
    if fine_tune:
        fine_tune.settle()
    return builder.finish(architecture.part, logits, opset, architecture.as_json())


class _Transformer:
    """The modules of a VampNet, each as the method of its name."""

    def __init__(self, builder: ModuleBuilder, architecture: VampNetArchitecture) -> None:
        self.b = builder
        self.a = architecture
        self.dim = architecture.embedding_dim

    def logits(self, tables: Sequence[ir.Value]) -> ir.Value:
        b = self.b
        codes = b.input("codes", ir.DataType.INT64, "batch", self.a.n_codebooks, "time")
        x = self.controls(self.embedding(codes, tables))
        condition = self.condition()
        length = b.op.Shape(codes, start=2, end=3)
        for i in range(self.a.n_layers):
            with b.module(f"transformer.layers.{i}"):
                x = self.layer(x, condition, length)
        with b.module("transformer.norm"):
            x = b.mark(self.norm(x))
        return self.classifier(x)

    def embedding(self, codes: ir.Value, tables: Sequence[ir.Value]) -> ir.Value:
        b, width = self.b, self.a.n_codebooks * self.a.latent_dim
        mask = b.tensor(MASK, self.a.n_codebooks, self.a.latent_dim)
        with b.module("embedding"):
            latents = [b.vamp.CodebookEmbedding(codes, t, mask, codebook=i) for i, t in enumerate(tables)]
            joined = b.op.Concat(*latents, axis=-1)
            joined.shape, joined.type = ir.Shape(("batch", "time", width)), FLOAT
            b.mark(joined, ">.out_proj", order=BY_TIME)
            with b.module("out_proj"):
                weight, bias = b.weight("weight", self.dim, width, 1), b.weight("bias", self.dim)
                return b.mark(b.vamp.PointwiseConv(joined, weight, bias), order=BY_TIME)

    def controls(self, x: ir.Value) -> ir.Value:
        b = self.b
        total: ir.Value | None = None
        for name, dim in self.a.ctrl_dims.items():
            control = b.input(f"ctrl.{name}", ir.DataType.FLOAT, "batch", dim, "time")
            mask = b.input(f"ctrl_mask.{name}", ir.DataType.FLOAT, "batch", "time")
            with b.module(f"ctrl_encoder.ctrl_encoders.{name}"):
                weight, bias = b.weight("weight", self.dim, dim), b.weight("bias", self.dim)
                encoded = b.vamp.ControlEncoder(control, mask, weight, bias)
                b.absorb(encoded, b.path)
            with b.module("ctrl_encoder"):
                total = encoded if total is None else b.add(total, encoded)
        if total is None:
            return b.mark(x, ">transformer")
        b.mark(total, "ctrl_encoder", order=BY_TIME)
        return b.mark(b.add(x, total), ">transformer")

    def condition(self) -> ir.Value | None:
        """The embedded noise level of a FiLM model."""
        if not self.a.r_cond_dim:
            return None
        if self.a.r_cond_dim < 4:
            raise UnsupportedModelError(
                f"{self.b.weights.checkpoint.path.name}: r_cond_dim={self.a.r_cond_dim} has no two frequencies",
                "only 0, and 4 or more, can be converted",
            )
        level = self.b.input("r", ir.DataType.FLOAT, "batch")
        with self.b.module("r_embed"):
            return self.b.mark(self.b.vamp.NoiseEmbedding(level, dim=self.a.r_cond_dim), ">transformer#1")

    def layer(self, x: ir.Value, condition: ir.Value | None, length: ir.Value) -> ir.Value:
        b = self.b
        with b.module("norm_1"):
            y = b.mark(self.norm(x))
        with b.module("film_1"):
            y = b.mark(self.film(y, condition), order=BY_TIME)
        with b.module("self_attn"):
            y = self.attention(y, length)
        x = b.mark(b.add(x, y), ">.norm_3")
        with b.module("norm_3"):
            y = b.mark(self.norm(x))
        with b.module("film_3"):
            y = b.mark(self.film(y, condition), order=BY_TIME)
        with b.module("feed_forward"):
            y = self.feed_forward(y)
        return b.mark(b.add(x, y))

    def norm(self, x: ir.Value) -> ir.Value:
        return self.b.vamp.RMSNorm(x, self.b.weight("weight", self.dim), eps=EPS)

    def film(self, x: ir.Value, condition: ir.Value | None) -> ir.Value:
        b, size = self.b, (self.dim, self.a.r_cond_dim)
        if condition is None:
            return b.vamp.FiLM(x)
        gamma = b.weight("gamma.weight", *size), b.weight("gamma.bias", self.dim)
        beta = b.weight("beta.weight", *size), b.weight("beta.bias", self.dim)
        modulated: ir.Value = b.vamp.FiLM(x, condition, *gamma, *beta)
        b.absorb(modulated, ".gamma", ".beta")
        return modulated

    def attention(self, x: ir.Value, length: ir.Value) -> ir.Value:
        b, dim, heads = self.b, self.dim, self.a.n_heads
        if self.a.flash_attn:
            q, k, v = self.fused_projections(x)
            heard = b.mark(b.vamp.Attention(q, k, v, heads=heads), ">.out_proj")
            return b.linear_with_bias("out_proj", heard, dim, dim)
        q = b.linear("w_qs", x, dim, dim)
        k = b.linear("w_ks", x, dim, dim)
        v = b.linear("w_vs", x, dim, dim)
        table = b.tensor(POSITION_TABLE, BUCKETS, heads)
        bias = b.vamp.RelativePositionBias(length, table, max_distance=MAX_DISTANCE)
        if POSITION_TABLE.startswith(b.path):
            b.mark(bias, ".relative_attention_bias", order="+201")
        return b.linear("fc", b.mark(b.vamp.Attention(q, k, v, bias, heads=heads), ">.fc"), dim, dim)

    def fused_projections(self, x: ir.Value) -> tuple[ir.Value, ...]:
        """q, k and v of FlashMHA, one after another in the features of one linear."""
        fused = self.b.linear_with_bias("Wqkv", x, 3 * self.dim, self.dim)
        parts: tuple[ir.Value, ...] = self.b.op.Split(fused, [self.dim] * 3, axis=-1, outputs=3)
        for part in parts:
            part.shape, part.type = x.shape, x.type
        return parts

    def feed_forward(self, x: ir.Value) -> ir.Value:
        b, dim = self.b, self.dim
        x = b.linear("w_1", x, 4 * dim, dim)
        with b.module("act"):
            x = b.mark(b.vamp.GatedGELU(x))
            b.absorb(x, ".gelu")
        return b.linear("w_2", x, dim, 2 * dim)

    def classifier(self, x: ir.Value) -> ir.Value:
        b, rows = self.b, self.a.vocab_size * self.a.n_predict
        with b.module("classifier.layers.0"):
            g, v = b.weight("weight_g", rows, 1, 1), b.weight("weight_v", rows, self.dim, 1)
            logits: ir.Value = b.vamp.Classifier(
                x, b.vamp.WeightNorm(g, v), b.weight("bias", rows), n_predict=self.a.n_predict
            )
            b.absorb(logits, "classifier.layers.0")
            return b.mark(logits, ".", order=BY_TIME)
