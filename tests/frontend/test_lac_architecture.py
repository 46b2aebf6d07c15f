"""Sizes of a codec: read from its weights, and contradictions and alterations named."""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.frontend.lac import build_decoder, build_encoder
from vampconv.frontend.lac_architecture import LACArchitecture, read_lac
from vampconv.frontend.weights import Weights
from vampconv.reference.lac_config import LACConfig


def test_the_shortest_audio_is_told_for_strides_of_any_kind():
    random = np.random.default_rng(1)
    sizes = {"encoder_dim": 1, "decoder_dim": 8, "codebook_size": 1, "sample_rate": 1}
    for _ in range(500):
        encoder, decoder = (tuple(random.integers(1, 9, random.integers(1, 4)).tolist()) for _ in range(2))
        found = LACArchitecture(
            **sizes, encoder_rates=encoder, decoder_rates=decoder, n_codebooks=1, codebook_dim=1
        )
        config = LACConfig(**sizes, encoder_rates=encoder, decoder_rates=decoder, codebook_dims=(1,))
        wanted = next(n for n in range(1, 10**6) if config.frames(n))
        assert (found.min_samples, found.hop) == (wanted, config.hop)


@pytest.fixture
def opened(tmp_path, workshop):
    """The small golden codec, altered, as it is opened again."""

    @contextmanager
    def make(change):
        saved = workshop.load("codec_odd")
        change(saved["state_dict"], saved["metadata"]["kwargs"])
        torch.save(saved, tmp_path / "model.pth")
        with open_checkpoint(tmp_path / "model.pth") as checkpoint:
            yield Weights(checkpoint), checkpoint.metadata

    return make


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder_dim", 8),
        ("encoder_rates", [5, 3]),
        ("encoder_rates", [3]),
        ("encoder_rates", (3, 5, 2)),
        ("encoder_rates", 15),
        ("encoder_rates", np.array([3, 5])),
        ("decoder_dim", 32),
        ("decoder_rates", [3, 5]),
        ("decoder_rates", None),
        ("n_codebooks", 5),
        ("n_codebooks", [4, 4, 4, 4]),
        ("n_codebooks", "4"),
        ("codebook_size", 64),
        ("codebook_dim", 4),
        ("codebook_dim", [8, 8, 8]),
        ("codebook_dim", [8, 8, 8, 4]),
        ("codebook_dim", np.array(8)),
        ("sample_rate", 0),
        ("sample_rate", -44100),
        ("sample_rate", "16000"),
        ("sample_rate", True),
        ("sample_rate", np.array([16000])),
    ],
)
def test_contradictions_are_named(opened, key, value):
    with opened(lambda _state, kwargs: kwargs.update({key: value})) as (weights, metadata):
        with pytest.raises(BadInputError, match=rf"model\.pth: the metadata says {key}=") as caught:
            read_lac(weights, metadata)
        assert caught.value.code == 3


@pytest.mark.parametrize("value", [8, [8, 8, 8, 8], (8, 8, 8, 8)])
def test_widths_of_codebooks_may_be_given_once_or_each(opened, value):
    with opened(lambda _state, kwargs: kwargs.update(codebook_dim=value)) as (weights, metadata):
        assert read_lac(weights, metadata).codebook_dim == 8


def test_without_metadata_the_weights_tell(opened):
    with opened(lambda *_: None) as opening:
        wanted = read_lac(*opening).as_json()
    with opened(lambda _state, kwargs: kwargs.clear()) as opening:
        assert read_lac(*opening).as_json() == wanted | {"sample_rate": 44100}


TABLE = "quantizer.quantizers.{}.codebook.weight"
STRIDED = "encoder.block.1.block.4.weight_v"


@pytest.mark.parametrize(
    ("change", "error", "told"),
    [
        ({TABLE.format(2): torch.ones(31, 8)}, UnsupportedModelError, "its codebooks differ in size"),
        ({TABLE.format(i): torch.ones(32) for i in range(4)}, BadInputError, r"codebooks are \[32\]"),
        ({TABLE.format(i): torch.ones(0, 8) for i in range(4)}, BadInputError, r"codebooks are \[0, 8\]"),
        ({TABLE.format(i): None for i in range(4)}, BadInputError, r"misses tensor .*0\.codebook\.weight"),
        ({TABLE.format(1): None}, BadInputError, r"misses tensor .*1\.codebook\.weight"),
        ({"encoder.block.0.weight_v": None}, BadInputError, r"misses tensor encoder\.block\.0\.weight_v"),
        ({"encoder.block.0.weight_v": torch.ones(())}, BadInputError, "not a convolution's weight"),
        ({"decoder.model.0.weight_v": torch.ones(16, 16)}, BadInputError, "not a convolution's weight"),
        ({STRIDED: torch.ones(8, 4)}, BadInputError, "not a convolution's weight"),
        ({STRIDED: torch.ones(8, 4, 0)}, BadInputError, "not a convolution's weight"),
        ({STRIDED: torch.ones(8, 4, 7)}, UnsupportedModelError, "kernel of 7"),
        ({STRIDED: torch.ones(8, 4, 1)}, UnsupportedModelError, "kernel of 1"),
    ],
)
def test_altered_weights_are_named(opened, change, error, told):
    def alter(state, kwargs):
        kwargs.clear()
        for name, tensor in change.items():
            del state[name]
            if tensor is not None:
                state[name] = tensor

    with opened(alter) as (weights, metadata):
        with pytest.raises(error, match=rf"model\.pth.* {told}|model\.pth: .*{told}") as caught:
            read_lac(weights, metadata)
        assert caught.value.code == (3 if error is BadInputError else 4)


def test_every_tensor_is_missed_by_name_and_a_stranger_is_told(opened, workshop):
    def build(weights, metadata):
        found = read_lac(weights, metadata)
        build_encoder(weights, found, opset=17)
        build_decoder(weights, found, opset=17)
        weights.settle()

    for name in list(workshop.load("codec_odd")["state_dict"])[::7]:
        with opened(lambda state, kwargs, name=name: state.pop(name) is None or kwargs.clear()) as (w, m):
            with pytest.raises(BadInputError) as caught:
                build(w, m)
            assert name in str(caught.value)
    with opened(lambda state, _kwargs: state.update(odd=torch.ones(1))) as opening:
        with pytest.raises(UnsupportedModelError, match="holds unexpected tensor odd") as caught:
            build(*opening)
        assert caught.value.code == 4
