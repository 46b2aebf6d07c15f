"""The reference beat tracker repeats what the original recorded, and computes its definition at any size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.reference.random_audio_checkpoint import random_wavebeat
from vampconv.reference.wavebeat import ACTIVATIONS, WaveBeatConfig, WaveBeatReference

TINY = WaveBeatConfig(
    nblocks=3, kernel_size=5, stride=3, dilation_growth=2, channel_growth=2, channel_width=3
)
SIZES = [
    TINY,
    WaveBeatConfig(nblocks=5, channel_width=2, stack_size=2, act_type="ELU"),
    WaveBeatConfig(ninputs=2, noutputs=1, nblocks=2, dilation_growth=3, norm_type=None, act_type="SELU"),
    WaveBeatConfig(nblocks=1, kernel_size=4, dilation_growth=2, channel_growth=0, act_type="ReLU"),
]
NEGATIVE = {
    "ReLU": lambda x, _: 0 * x,
    "PReLU": lambda x, slope: slope * x,
    "ELU": lambda x, _: np.expm1(x),
    "SELU": lambda x, _: 1.0507009873554805 * 1.6732632423543772 * np.expm1(x),
}


@pytest.fixture
def saved(workshop):
    return workshop.load("wavebeat")


def build(saved, dtype=torch.float32):
    return WaveBeatReference.from_checkpoint(saved["state_dict"], saved["hyper_parameters"], dtype)


def test_the_recording_is_repeated(workshop, saved, relative):
    arrays = {key: torch.from_numpy(array) for key, array in workshop.recorded("wavebeat").items()}
    single, double = build(saved)(arrays["audio"]), build(saved, torch.float64)(arrays["audio"].double())
    for found, exact, wanted in zip(single, double, (arrays["raw"], arrays["activations"]), strict=True):
        own = relative(exact, wanted)
        assert own <= 5e-7  # measured: 3.4e-7 (raw) and 3.9e-8
        assert relative(found, wanted) <= 3 * own  # measured: 0, bit for bit


@pytest.mark.parametrize(
    "weight",
    [
        "blocks.0.conv1.bias",
        "blocks.3.act1.weight",
        "blocks.7.res_norm.running_mean",
        "blocks.5.norm1.running_var",
    ],
)
def test_a_wrong_weight_is_seen(workshop, saved, relative, weight):
    arrays = workshop.recorded("wavebeat")
    saved["state_dict"][weight] = saved["state_dict"][weight] * 1.05
    assert relative(build(saved)(torch.from_numpy(arrays["audio"]))[0], arrays["raw"]) > 1e-5


def test_loading_is_strict(saved):
    state, hyper = saved["state_dict"], saved["hyper_parameters"]
    model = build(saved)
    assert [(n, t.shape) for n, t in model.state_dict().items()] == [(n, t.shape) for n, t in state.items()]
    bare = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
    assert len(bare) == len(state) - 16
    audio = torch.randn(1, 1, 700)
    assert torch.equal(WaveBeatReference.from_checkpoint(bare, hyper)(audio)[0], model(audio)[0])
    for name in bare:
        with pytest.raises(BadInputError, match=f"missing tensor {name};"):
            WaveBeatReference.from_checkpoint({n: t for n, t in state.items() if n != name}, hyper)
    with pytest.raises(BadInputError, match="unexpected tensor spare"):
        WaveBeatReference.from_checkpoint(state | {"spare": torch.ones(1)}, hyper)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"nblocks": 0}, BadInputError),
        ({"stride": 2.0}, BadInputError),
        ({"channel_growth": -1}, BadInputError),
        ({"kernel_size": True}, BadInputError),
        ({"act_type": "GELU"}, UnsupportedModelError),
    ],
    ids=str,
)
def test_impossible_architectures_are_refused(saved, change, error):
    with pytest.raises(error, match=r"hyper_parameters|only"):
        WaveBeatReference.from_checkpoint(saved["state_dict"], saved["hyper_parameters"] | change)


def definition(config, state, audio):
    """Raw outputs [noutputs, frames] of audio [ninputs, samples], in numpy float64."""
    w = {name: tensor.double().numpy() for name, tensor in state.items()}

    def conv(name, x, dilation=1, padding=0, stride=1):
        kernel, x = w[f"{name}.weight"], np.pad(x, ((0, 0), (padding, padding)))
        taps = dilation * np.arange(kernel.shape[2])
        starts = range(0, x.shape[1] - taps[-1], stride)
        return (
            np.stack([np.tensordot(kernel, x[:, t + taps], 2) for t in starts], 1)
            + w[f"{name}.bias"][:, None]
        )

    def norm(name, x):
        if config.norm_type is None:
            return x
        mean, variance, weight, bias = (
            w[f"{name}.{part}"][:, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / np.sqrt(variance + 1e-5) * weight + bias

    x = audio
    for n in range(config.nblocks):
        name, dilation = f"blocks.{n}", config.dilation_growth ** (n % config.stack_size)
        padding = (config.kernel_size - 1) * dilation // 2
        y = norm(f"{name}.norm1", conv(f"{name}.conv1", x, dilation, padding, config.stride))
        slope = w[f"{name}.act1.weight"][:, None] if config.act_type == "PReLU" else None
        positive = 1.0507009873554805 * y if config.act_type == "SELU" else y
        y = np.where(y > 0, positive, NEGATIVE[config.act_type](np.minimum(y, 0), slope))
        x = y + norm(f"{name}.res_norm", conv(f"{name}.res_conv", x, stride=config.stride))
    return conv("output", x)


@pytest.mark.parametrize("config", SIZES, ids=lambda c: f"{c.act_type}-{c.norm_type}")
def test_outputs_are_the_definition(relative, config):
    assert set(ACTIVATIONS) == set(NEGATIVE)
    assert WaveBeatConfig.from_hyper_parameters(config.to_hyper_parameters()) == config
    state = random_wavebeat(config, seed=4)
    model = WaveBeatReference.from_checkpoint(state, config.to_hyper_parameters(), torch.float64)
    rng = torch.Generator().manual_seed(1)
    for batch, samples in ((1, 1), (2, 2), (3, 26), (2, 28), (1, 162)):
        audio = torch.randn(batch, config.ninputs, samples, dtype=torch.float64, generator=rng)
        if config.kernel_size % 2 == 0 and samples % 2:
            with pytest.raises(RuntimeError):
                model(audio)
            continue
        raw, activations = model(audio)
        assert raw.shape == (batch, config.noutputs, -(-samples // config.stride**config.nblocks))
        for b in range(batch):
            wanted = definition(config, state, audio[b].numpy())
            assert relative(raw[b], wanted) <= 1e-12
            assert relative(activations[b], 1 / (1 + np.exp(-wanted))) <= 1e-12
