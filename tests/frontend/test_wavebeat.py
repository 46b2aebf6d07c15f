"""The golden beat tracker, built and compiled: its activations are those that the original recorded."""

from __future__ import annotations

import json
from contextlib import contextmanager

import numpy as np
import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.wavebeat import build_wavebeat, read_wavebeat
from vampconv.frontend.weights import Weights
from vampconv.reference.wavebeat import WaveBeatReference

from ..common import GOLDEN, OPSETS
from .compiled import session

HOP = 2**8
BOUND = 1e-6


def build(weights, metadata, opset=17):
    model = build_wavebeat(weights, read_wavebeat(weights, metadata), opset=opset)
    weights.settle()
    return model


def load(path, opset=17, disable=()):
    with open_checkpoint(path) as checkpoint:
        weights = Weights(checkpoint)
        return session(build(weights, checkpoint.metadata, opset), opset, disable)


@pytest.fixture(scope="module")
def tracker():
    found = load(GOLDEN / "wavebeat.pth")
    return lambda audio: found.run(None, {"audio": audio})[0]


@pytest.fixture(scope="module")
def truth(workshop):
    saved = workshop.load("wavebeat")
    model = WaveBeatReference.from_checkpoint(saved["state_dict"], saved["hyper_parameters"], torch.float64)
    return lambda audio: model(torch.from_numpy(audio).double())[1].numpy()


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("disable", [(), ("FoldBatchNorm",)], ids=["folded", "plain"])
def test_the_recorded_activations(workshop, relative, record_property, opset, disable):
    recorded = workshop.recorded("wavebeat")
    found = load(GOLDEN / "wavebeat.pth", opset, disable).run(None, {"audio": recorded["audio"]})[0]
    error = relative(found, recorded["activations"])
    record_property("relative L2", error)
    assert error <= BOUND


@pytest.mark.parametrize("samples", [1, HOP - 1, HOP, HOP + 1, 1009, 30011])
def test_any_length(tracker, truth, relative, samples):
    audio = np.random.default_rng(samples).uniform(-1, 1, (1, 1, samples)).astype(np.float32)
    found = tracker(audio)
    assert found.shape == (1, 2, -(-samples // HOP))
    assert relative(found, truth(audio)) <= BOUND


@pytest.mark.parametrize("batch", [2, 3])
def test_a_batch_is_its_rows(tracker, relative, batch):
    audio = np.random.default_rng(batch).uniform(-1, 1, (batch, 1, 5000)).astype(np.float32)
    together = tracker(audio)
    for i in range(batch):
        assert relative(together[i : i + 1], tracker(audio[i : i + 1])) <= 1e-6
    assert relative(together[:1], together[1:2]) > 1e-4


@contextmanager
def altered(workshop, place, change):
    """The golden checkpoint, altered, as it is opened again."""
    saved = workshop.load("wavebeat")
    change(saved["state_dict"], saved["hyper_parameters"])
    torch.save(saved, place / "model.pth")
    with open_checkpoint(place / "model.pth") as checkpoint:
        yield Weights(checkpoint), checkpoint.metadata


def test_sizes_are_read(workshop, tmp_path):
    with altered(workshop, tmp_path, lambda *_: None) as (weights, metadata):
        found = read_wavebeat(weights, metadata).as_json()
    assert json.loads(json.dumps(found)) == found
    assert found == {
        "nblocks": 8,
        "kernel_size": 15,
        "stride": 2,
        "dilation_growth": 8,
        "stack_size": 4,
        "channels": [8, 16, 24, 32, 40, 48, 56, 64],
        "noutputs": 2,
        "target_sample_rate": 22050 / 256,
        "sample_rate": 22050,
    }


def test_the_rate_of_the_hyper_parameters_goes_before(workshop, tmp_path):
    for rate, wanted in ((172.265625, 172.265625), (90, 90), (None, 22050 / 256)):
        with altered(
            workshop, tmp_path, lambda _s, h, rate=rate: h.update(target_sample_rate=rate)
        ) as opened:
            assert read_wavebeat(*opened).target_sample_rate == wanted


@pytest.mark.parametrize(
    ("key", "value", "error"),
    [
        ("nblocks", 9, BadInputError),
        ("nblocks", np.array([8, 8]), BadInputError),
        ("kernel_size", 3, BadInputError),
        ("noutputs", 1, BadInputError),
        ("channel_width", 16, BadInputError),
        ("channel_growth", 1, BadInputError),
        ("stride", 0, BadInputError),
        ("stride", -2, BadInputError),
        ("stride", 2.0, BadInputError),
        ("stride", True, BadInputError),
        ("stack_size", 0, BadInputError),
        ("dilation_growth", "8", BadInputError),
        ("target_sample_rate", "90", BadInputError),
        ("target_sample_rate", -1.0, BadInputError),
        ("target_sample_rate", 0, BadInputError),
        ("norm_type", "LayerNorm", UnsupportedModelError),
        ("norm_type", None, UnsupportedModelError),
        ("norm_type", np.ones(2), UnsupportedModelError),
        ("act_type", "ReLU", UnsupportedModelError),
    ],
)
def test_contradictions_and_other_kinds_are_named(workshop, tmp_path, key, value, error):
    with altered(workshop, tmp_path, lambda _state, hyper: hyper.update({key: value})) as opened:
        with pytest.raises(error, match=rf"model\.pth.* says? {key}=") as caught:
            read_wavebeat(*opened)
        assert caught.value.code == (3 if error is BadInputError else 4)


@pytest.mark.parametrize("key", ["stride", "dilation_growth", "stack_size"])
def test_what_only_the_hyper_parameters_tell_is_missed(workshop, tmp_path, key):
    with (
        altered(workshop, tmp_path, lambda _state, hyper: hyper.pop(key)) as opened,
        pytest.raises(BadInputError, match=f"hyper-parameters do not give {key}"),
    ):
        read_wavebeat(*opened)


@pytest.mark.parametrize(
    ("name", "tensor", "told"),
    [
        ("blocks.0.conv1.weight", None, "misses tensor"),
        ("blocks.3.conv1.weight", None, "misses tensor"),
        ("blocks.0.conv1.weight", torch.ones(8), "not a convolution's weight"),
        ("blocks.0.conv1.weight", torch.ones(8, 1, 0), "not a convolution's weight"),
        ("output.weight", torch.ones(()), "not a convolution's weight"),
        ("output.weight", None, "misses tensor"),
    ],
)
def test_altered_weights_are_named(workshop, tmp_path, name, tensor, told):
    def change(state, _hyper):
        del state[name]
        if tensor is not None:
            state[name] = tensor

    with altered(workshop, tmp_path, change) as opened, pytest.raises(BadInputError, match=told) as caught:
        read_wavebeat(*opened)
    assert name in str(caught.value)


def test_a_checkpoint_without_blocks(workshop, tmp_path):
    def change(state, hyper):
        hyper.pop("nblocks")
        for name in [n for n in state if n.startswith("blocks")]:
            del state[name]

    with (
        altered(workshop, tmp_path, change) as opened,
        pytest.raises(BadInputError, match=r"misses tensor blocks\.0\.conv1\.weight"),
    ):
        read_wavebeat(*opened)


def test_counters_are_left_out_and_every_other_tensor_is_used_or_missed(workshop, tmp_path):
    names = list(workshop.load("wavebeat")["state_dict"])
    with altered(workshop, tmp_path, lambda *_: None) as (weights, metadata):
        build(weights, metadata)
        counters = [n for n in names if n.endswith("num_batches_tracked")]
        assert set(weights.ignored) == set(counters)
        assert weights.taken == set(names) - set(counters)
    for name in names[::5]:
        if name in counters:
            continue
        with altered(workshop, tmp_path, lambda s, h, n=name: (s.pop(n), h.pop("nblocks"))) as (
            weights,
            given,
        ):
            with pytest.raises(BadInputError) as caught:
                build(weights, given)
            assert name in str(caught.value)


def test_another_size_runs_as_the_reference_does(tmp_path, relative):
    from vampconv.reference.random_audio_checkpoint import lightning_checkpoint, random_wavebeat
    from vampconv.reference.wavebeat import WaveBeatConfig

    for sizes in (
        {"nblocks": 1, "stack_size": 1},
        {"nblocks": 3, "kernel_size": 5, "stride": 3, "dilation_growth": 2, "stack_size": 2, "noutputs": 3},
    ):
        config = WaveBeatConfig(channel_width=4, **sizes)
        state = random_wavebeat(config, 1)
        torch.save(lightning_checkpoint(state, config), tmp_path / "model.pth")
        hyper = config.to_hyper_parameters()
        model = WaveBeatReference.from_checkpoint(state, hyper, torch.float64)
        audio = np.random.default_rng(1).uniform(-1, 1, (2, 1, 500)).astype(np.float32)
        found = load(tmp_path / "model.pth").run(None, {"audio": audio})[0]
        assert relative(found, model(torch.from_numpy(audio).double())[1].numpy()) <= BOUND
