"""Random codecs and beat trackers are what the original would save, and sound like something."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import WAVEBEAT, random_codec
from vampconv.reference.random_checkpoint import LAC_KWARGS
from vampconv.reference.wavebeat import WaveBeatReference

from ..common import ROOT


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_checkpoint", ROOT / "fixtures" / "make_checkpoint.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_codecs_load_and_sound(make, tmp_path):
    sizes = ["--encoder-dim", "4", "--decoder-dim", "32", "--codebooks", "5", "--vocab", "50"]
    assert make(["codec", str(tmp_path / "codec.pth"), *sizes]) == 0
    saved = torch.load(tmp_path / "codec.pth", weights_only=True)
    model = LACReference.from_state_dict(saved["state_dict"], saved["metadata"]["kwargs"])
    noise = 0.1 * torch.randn(2, 1, 44100, generator=torch.Generator().manual_seed(0))
    encoded = model.encode(noise)
    assert 0.2 < encoded["z"].std() < 5
    assert all(codes.unique().numel() > 12 for codes in encoded["codes"].unbind(1))
    audio = model.decode_codes(encoded["codes"])
    assert 0.02 < audio.std() < 0.5
    assert audio.abs().max() < 0.999


def test_odd_rates_can_be_asked_for(make, tmp_path):
    sizes = ["--encoder-dim", "2", "--decoder-dim", "8", "--encoder-rates", "3,5", "--decoder-rates", "5,3"]
    assert make(["codec", str(tmp_path / "codec.pth"), *sizes]) == 0
    kwargs = torch.load(tmp_path / "codec.pth", weights_only=True)["metadata"]["kwargs"]
    assert (kwargs["encoder_rates"], kwargs["decoder_rates"]) == ([3, 5], [5, 3])


def test_layout_and_scale_are_those_of_the_original(workshop):
    saved = workshop.load("codec")
    kwargs, original = saved["metadata"]["kwargs"], saved["state_dict"]
    config = LACConfig.from_kwargs(kwargs)
    assert config.to_kwargs() == kwargs
    state, again, other = (random_codec(config, seed) for seed in (0, 0, 1))
    assert [(n, t.shape) for n, t in state.items()] == [(n, t.shape) for n, t in original.items()]
    assert all(torch.equal(tensor, again[name]) for name, tensor in state.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in state.items())


def test_full_size_is_the_trained_codec():
    config = LACConfig.from_kwargs(LAC_KWARGS)
    assert config.to_kwargs() == LAC_KWARGS
    with torch.device("meta"):
        state = LACReference(config).state_dict()
    assert (sum(tensor.numel() for tensor in state.values()), len(state)) == (45_285_634, 528)


def test_beat_trackers_load_and_run(make, workshop, tmp_path):
    assert make(["wavebeat", str(tmp_path / "wavebeat.ckpt")]) == 0
    saved = torch.load(tmp_path / "wavebeat.ckpt", weights_only=True)
    hyper = saved["hyper_parameters"]
    original = workshop.load("wavebeat")
    assert saved["state_dict"].keys() == original["state_dict"].keys()
    assert hyper["target_sample_rate"] == workshop.recorded("beats")["target_sample_rate"]
    model = WaveBeatReference.from_checkpoint(saved["state_dict"], hyper)
    assert model.config == WAVEBEAT
    raw, activations = model(torch.randn(1, 1, 22050, generator=torch.Generator().manual_seed(0)))
    assert raw.shape == (1, 2, 87)
    assert (raw.std(-1) > 0.02).all()
    assert ((activations > 0.01) & (activations < 0.99)).all()
