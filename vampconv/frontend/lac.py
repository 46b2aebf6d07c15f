"""LAC's encoder and decoder as graphs of ``vamp`` ops: channels before time but in the quantizer."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from vampconv.frontend.codec_tables import TABLE
from vampconv.frontend.convolutions import Convolutions
from vampconv.frontend.lac_architecture import LACArchitecture
from vampconv.frontend.module_builder import ModuleBuilder
from vampconv.frontend.weights import Weights

DILATIONS_OF_ENCODER = (1, 3, 9)
DILATIONS_OF_DECODER = (1, 3, 5)
KERNELS_OF_DECODER = (3, 7, 11)
BY_TIME = "021"
"""Order of the axes in the quantizer, where PyTorch has channels before time."""


def build_encoder(weights: Weights, architecture: LACArchitecture, *, opset: int) -> ir.Model:
    """Audio in, codes out: ``audio`` float32 [batch, 1, samples] -> ``codes`` int64 [batch, n_codebooks, time]."""
    builder = ModuleBuilder(weights)
    audio = builder.input("audio", ir.DataType.FLOAT, "batch", 1, "samples")
    codes = _Codec(builder, architecture).encode(audio)
    codes.name, codes.type = "codes", ir.TensorType(ir.DataType.INT64)
    codes.shape = ir.Shape(("batch", architecture.n_codebooks, "time"))
    return builder.finish("encoder", codes, opset, architecture.as_json())


def build_decoder(weights: Weights, architecture: LACArchitecture, *, opset: int) -> ir.Model:
    """Codes in, audio out: ``codes`` int64 [batch, n, time], the first n codebooks -> ``audio`` [batch, 1, samples]."""
    builder = ModuleBuilder(weights)
    codes = builder.input("codes", ir.DataType.INT64, "batch", "n", "time")
    audio = _Codec(builder, architecture).decode(codes)
    audio.name, audio.type = "audio", ir.TensorType(ir.DataType.FLOAT)
    audio.shape = ir.Shape(("batch", 1, "samples"))
    return builder.finish("decoder", audio, opset, architecture.as_json())


class _Codec:
    """The modules of a codec, each as a method."""

    def __init__(self, builder: ModuleBuilder, architecture: LACArchitecture) -> None:
        self.b = builder
        self.a = architecture
        self.conv = Convolutions(builder)

    def encode(self, audio: ir.Value) -> ir.Value:
        a, conv = self.a, self.conv
        width = a.encoder_dim
        with self.b.module("encoder"):
            padded = self.b.mark(self.b.vamp.PadToMultiple(audio, multiple=a.hop), ">encoder")
            x = conv.conv("block.0", padded, width, 1, 7)
            for i, stride in enumerate(a.encoder_rates, start=1):
                with self.b.module(f"block.{i}.block"):
                    for j, dilation in enumerate(DILATIONS_OF_ENCODER):
                        x = conv.residual(f"{j}", "block", x, width, (7, 1), dilation)
                    x = conv.snake("3", x, width)
                    x = conv.conv("4", x, 2 * width, width, 2 * stride, stride=stride, padding=stride // 2)
                width *= 2
            last = len(a.encoder_rates) + 1
            x = conv.snake(f"block.{last}", x, width)
            x = conv.conv(f"block.{last + 1}", x, width, width, 3)
        return self.quantize(x)

    def quantize(self, z: ir.Value) -> ir.Value:
        """Codes of every codebook, each of what the ones before it left over."""
        b, a = self.b, self.a
        residual = b.mark(self.conv.by_time(z, a.latent_dim), ">quantizer", order=BY_TIME)
        columns = []
        for i in range(a.n_codebooks):
            table = b.tensor(TABLE.format(i), a.codebook_size, a.codebook_dim)
            with b.module(f"quantizer.quantizers.{i}"):
                latents = self.conv.pointwise("in_proj", residual, a.codebook_dim, a.latent_dim)
                codes = b.mark(b.vamp.NearestCode(latents, table), f"{b.path}#1")
                columns.append(b.op.Unsqueeze(codes, [1]))
                if i + 1 < a.n_codebooks:
                    rows = b.op.Gather(table, codes, axis=0)
                    rows.shape, rows.type = latents.shape, latents.type
                    b.mark(rows, ">.out_proj", order=BY_TIME)
                    known = self.conv.pointwise("out_proj", rows, a.latent_dim, a.codebook_dim)
                    rest = b.op.Sub(residual, known)
                    rest.shape, rest.type = residual.shape, residual.type
                    residual = b.mark(rest, f">quantizer.quantizers.{i + 1}", order=BY_TIME)
        codes = b.mark(b.op.Concat(*columns, axis=1), ".")
        last = f"quantizer.quantizers.{a.n_codebooks - 1}"
        b.absorb(codes, f"{last}.out_proj", last, "quantizer", why="unused")
        return codes

    def decode(self, codes: ir.Value) -> ir.Value:
        a, conv = self.a, self.conv
        z = conv.by_channel(self.from_codes(codes), a.latent_dim)
        with self.b.module("decoder"):
            x = conv.conv("model.0", z, a.decoder_dim, a.latent_dim, 7)
            width = a.decoder_dim
            for i, stride in enumerate(a.decoder_rates, start=1):
                with self.b.module(f"model.{i}.block"):
                    x = conv.snake("0", x, width)
                    x = conv.transposed("1", x, width // 2, width, stride)
                    with self.b.module("2"):
                        x = self.multi_receptive_field(x, width // 2)
                width //= 2
            last = len(a.decoder_rates) + 1
            x = conv.snake(f"model.{last}", x, width)
            x = conv.conv(f"model.{last + 1}", x, 1, width, 7)
            with self.b.module(f"model.{last + 2}"):
                return self.b.mark(self.b.op.Tanh(x))

    def from_codes(self, codes: ir.Value) -> ir.Value:
        """What the codes stand for, after each row of the tables is quantised again."""
        b, a = self.b, self.a
        tables, weights, biases = [], [], []
        for i in range(a.n_codebooks):
            table = b.tensor(TABLE.format(i), a.codebook_size, a.codebook_dim)
            with b.module(f"quantizer.quantizers.{i}"):
                tables.append(b.vamp.Requantize(table))
                weight, bias = self.conv.normalised("out_proj", a.latent_dim, a.codebook_dim, 1)
                weights.append(b.op.Squeeze(weight, [2]))
                biases.append(bias)
        sizes = (a.codebook_size, a.codebook_dim), (a.latent_dim, a.codebook_dim), (a.latent_dim,)
        with b.module("quantizer"):
            stacks = [self._stack(v, s) for v, s in zip((tables, weights, biases), sizes, strict=True)]
            z = b.mark(b.vamp.DecodeCodes(codes, *stacks), ">decoder", order=BY_TIME)
            b.absorb(z, *(f".quantizers.{i}.out_proj" for i in range(a.n_codebooks)))
            return z

    def _stack(self, values: Iterable[ir.Value], size: tuple[int, ...]) -> ir.Value:
        rows = [self.b.op.Unsqueeze(value, [0]) for value in values]
        stacked: ir.Value = self.b.op.Concat(*rows, axis=0)
        stacked.shape, stacked.type = ir.Shape((len(rows), *size)), ir.TensorType(ir.DataType.FLOAT)
        return stacked

    def multi_receptive_field(self, x: ir.Value, width: int) -> ir.Value:
        """The mean of chains of residual layers with different kernels."""
        b = self.b
        total: ir.Value | None = None
        for j, kernel in enumerate(KERNELS_OF_DECODER):
            y = x
            for k, dilation in enumerate(DILATIONS_OF_DECODER):
                y = self.conv.residual(
                    f"mrf_blocks.{j}.block.{k}", "layer", y, width, (kernel, kernel), dilation
                )
            total = y if total is None else b.add(total, y)
        assert total is not None
        mean: ir.Value = b.op.Div(total, float(len(KERNELS_OF_DECODER)))
        mean.shape, mean.type = x.shape, x.type
        return b.mark(mean)
