"""Codecs of any rates, widths, batch and length compute their definition, here in plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec

CONFIGS = [
    LACConfig(1, (3, 5), 9, (5, 3), (2, 2), 5),
    LACConfig(2, (2, 3), 8, (4,), (3, 1, 2), 7),
    LACConfig(1, (1, 7, 2), 4, (2, 3), (2,), 4),
    LACConfig(3, (), 5, (2, 1), (4, 4), 6),
]


class Plain:
    """One example at a time, from the state dict alone, element by element where that could deceive."""

    def __init__(self, config, state):
        self.config = config
        self.w = {name: tensor.double().numpy() for name, tensor in state.items()}

    def kernel(self, name):
        g, v = self.w[f"{name}.weight_g"], self.w[f"{name}.weight_v"]
        return np.stack([gi * vi / np.sqrt((vi * vi).sum()) for gi, vi in zip(g, v, strict=True)])

    def conv(self, name, x, stride=1, dilation=1, padding=0):
        kernel = self.kernel(name)
        x = np.pad(x, ((0, 0), (padding, padding)))
        starts = range(0, x.shape[1] - dilation * (kernel.shape[2] - 1), stride)
        taps = dilation * np.arange(kernel.shape[2])
        columns = [np.tensordot(kernel, x[:, t + taps], 2) for t in starts]
        return np.stack(columns, 1) + self.w[f"{name}.bias"][:, None]

    def transposed(self, name, x, stride):
        kernel = self.kernel(name)  # [in, out, 2 stride]
        y = np.zeros((kernel.shape[1], (x.shape[1] + 1) * stride))
        for t in range(x.shape[1]):
            y[:, t * stride : (t + 2) * stride] += np.tensordot(x[:, t], kernel, 1)
        cut = stride // 2
        return y[:, cut : y.shape[1] - cut] + self.w[f"{name}.bias"][:, None]

    def snake(self, name, x):
        alpha = self.w[f"{name}.alpha"][0]
        return x + np.sin(alpha * x) ** 2 / (alpha + 1e-9)

    def unit(self, name, x, kernel, dilation, second):
        y = self.conv(f"{name}.1", self.snake(f"{name}.0", x), 1, dilation, (kernel - 1) * dilation // 2)
        return x + self.conv(f"{name}.3", self.snake(f"{name}.2", y), padding=second // 2)

    def encode(self, audio):
        """Codes [n_codebooks, frames] and z [channels, frames] of audio [samples]."""
        hop = int(np.prod(self.config.decoder_rates))
        x = self.conv("encoder.block.0", np.pad(audio, (0, -len(audio) % hop))[None], padding=3)
        for i, stride in enumerate(self.config.encoder_rates, start=1):
            name = f"encoder.block.{i}.block"
            for j, dilation in enumerate((1, 3, 9)):
                x = self.unit(f"{name}.{j}.block", x, 7, dilation, second=1)
            x = self.conv(f"{name}.4", self.snake(f"{name}.3", x), stride, 1, stride // 2)
        last = len(self.config.encoder_rates) + 1
        z = self.conv(f"encoder.block.{last + 1}", self.snake(f"encoder.block.{last}", x), padding=1)
        residual, codes = z, []
        for i in range(self.config.n_codebooks):
            name = f"quantizer.quantizers.{i}"
            table, latents = self.w[f"{name}.codebook.weight"], self.conv(f"{name}.in_proj", residual)
            norms = np.linalg.norm(table, axis=1)[:, None] * np.linalg.norm(latents, axis=0)
            codes.append((table @ latents / norms).argmax(0))
            residual = residual - self.conv(f"{name}.out_proj", table[codes[-1]].T)
        return np.stack(codes), z

    def decode(self, codes):
        """Audio [samples] of codes [n, frames] that hold no mask token."""
        zq = sum(
            self.conv(
                f"quantizer.quantizers.{i}.out_proj", self.w[f"quantizer.quantizers.{i}.codebook.weight"][c].T
            )
            for i, c in enumerate(codes)
        )
        x = self.conv("decoder.model.0", zq, padding=3)
        for i, stride in enumerate(self.config.decoder_rates, start=1):
            name = f"decoder.model.{i}.block"
            x = self.transposed(f"{name}.1", self.snake(f"{name}.0", x), stride)
            branches = []
            for j, kernel in enumerate((3, 7, 11)):
                y = x
                for k, dilation in enumerate((1, 3, 5)):
                    y = self.unit(
                        f"{name}.2.mrf_blocks.{j}.block.{k}.layer", y, kernel, dilation, second=kernel
                    )
                branches.append(y)
            x = sum(branches) / 3
        last = len(self.config.decoder_rates) + 1
        x = self.snake(f"decoder.model.{last}", x)
        return np.tanh(self.conv(f"decoder.model.{last + 1}", x, padding=3))[0]


def build(config, dtype):
    state = random_codec(config, seed=11)
    return LACReference.from_state_dict(state, config.to_kwargs(), dtype), Plain(config, state)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.encoder_rates}-{c.decoder_rates}")
@pytest.mark.parametrize("batch", [1, 3])
def test_codes_and_audio_are_the_definition(relative, config, batch):
    assert LACConfig.from_kwargs(config.to_kwargs()) == config
    model, plain = build(config, torch.float64)
    rng = torch.Generator().manual_seed(batch)
    compared = 0
    for samples in (1, config.hop - 1, config.hop, config.hop + 1, 37, 101):
        audio = 0.3 * torch.randn(batch, 1, samples, dtype=torch.float64, generator=rng)
        frames = config.frames(samples)
        if not frames:
            with pytest.raises(RuntimeError):
                model.encode(audio)
            continue
        encoded = model.encode(audio)
        codes = encoded["codes"]
        assert codes.shape == (batch, config.n_codebooks, frames)
        assert encoded["latents"].shape == (batch, sum(config.codebook_dims), frames)
        n = 1 + compared % config.n_codebooks
        decoded, whole = model.decode_codes(codes[:, :n]), model(audio)
        assert decoded.shape == (batch, 1, config.samples(frames))
        assert torch.allclose(model.quantizer.from_codes(codes), encoded["zq"], rtol=0, atol=1e-12)
        for b in range(batch):
            plain_codes, z = plain.encode(audio[b, 0].numpy())
            assert np.array_equal(codes[b], plain_codes)
            assert relative(encoded["z"][b], z) <= 1e-12
            assert relative(decoded[b, 0], plain.decode(plain_codes[:n])) <= 1e-12
            assert relative(whole[b, 0], plain.decode(plain_codes)[:samples]) <= 1e-12
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("config", CONFIGS, ids=lambda c: f"{c.encoder_rates}-{c.decoder_rates}")
def test_lengths_are_foretold(config):
    model, _ = build(config, torch.float32)
    for samples in range(1, 3 * config.hop + 2):
        try:
            frames = model.encode(torch.zeros(1, 1, samples))["codes"].shape[-1]
        except RuntimeError:
            frames = 0
        assert frames == config.frames(samples)
    assert config.frames(0) == 0
    with pytest.raises(RuntimeError):
        model.encode(torch.zeros(1, 1, 0))


def test_float32_is_near_float64(relative):
    single, double = (build(CONFIGS[1], dtype)[0] for dtype in (torch.float32, torch.float64))
    audio = 0.3 * torch.randn(2, 1, 500, generator=torch.Generator().manual_seed(5))
    encoded, exact = single.encode(audio), double.encode(audio.double())
    assert torch.equal(encoded["codes"], exact["codes"])
    assert relative(encoded["z"], exact["z"]) <= 1e-6
    assert relative(single.decode_codes(exact["codes"]), double.decode_codes(exact["codes"])) <= 1e-6
