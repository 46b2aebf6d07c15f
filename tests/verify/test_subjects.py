"""The models that are verified: their inputs are the same everywhere, and their truth is what was recorded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.reference.config import VampNetConfig
from vampconv.reference.lac_config import LACConfig
from vampconv.verify.result import Case
from vampconv.verify.subjects import Encoder, Transformer, codes_fit, kwargs_of, tensors_of

from .conftest import MODELS
from .tagged import load

PRECISIONS = (torch.float32, torch.float64)
ORIGINAL = 1e-5
"""What the original's decoder in float32 is off, at most; measured: 6.3e-6."""
CASES = [Case(1, 1, 0), Case(2, 13, 0), Case(2, 13, 1), Case(3, 4, 7)]


@pytest.mark.parametrize("name", MODELS)
def test_inputs_are_the_same_every_time_and_others_for_every_case(golden, name):
    subject, seen = golden.subject(name), []
    for case in CASES:
        one, other = subject.feeds(case), subject.feeds(case)
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[key], other[key]) for key in one)
        seen.append(b"".join(array.tobytes() for array in one.values()))
    assert len(set(seen)) == len(CASES)


@pytest.mark.parametrize("name", MODELS)
def test_inputs_are_those_of_the_graph(golden, name):
    graph = load(golden.path(name)).graph
    feeds = golden.subject(name).feeds(Case(2, 5, 0))
    assert list(feeds) == [port.name for port in graph.input]
    for port in graph.input:
        kind, array = port.type.tensor_type, feeds[port.name]
        assert onnx.helper.np_dtype_to_tensor_dtype(array.dtype) == kind.elem_type
        assert len(array.shape) == len(kind.shape.dim)
        for size, dim in zip(array.shape, kind.shape.dim, strict=True):
            assert dim.dim_param or size == dim.dim_value


@pytest.mark.parametrize("name", ["coarse", "c2f", "film", "ctrl", "lora"])
def test_codes_of_transformers_are_of_the_vocabulary_or_masked(golden, name):
    subject = golden.subject(name)
    config = subject.config
    codes = subject.feeds(Case(3, 40, 1))["codes"]
    assert codes.shape == (3, config.n_codebooks, 40)
    assert codes.min() >= 0
    assert set(range(0, config.vocab_size, 7)) <= set(codes.ravel().tolist())
    assert 0.4 < (codes == config.vocab_size).mean() < 0.6
    assert codes.max() == config.vocab_size


def test_controls_are_masked_here_and_there(golden):
    subject = golden.subject("ctrl")
    feeds = subject.feeds(Case(2, 30, 0))
    for name, size in subject.config.ctrl_dims.items():
        assert feeds[f"ctrl.{name}"].shape == (2, size, 30)
        assert feeds[f"ctrl.{name}"].std() > 0.5
        assert feeds[f"ctrl_mask.{name}"].shape == (2, 30)
        assert set(feeds[f"ctrl_mask.{name}"].ravel().tolist()) == {0, 1}


def test_noise_levels_are_rounded_alike_by_all(golden):
    """One unit in the last place of the cosine would change the sines of the embedding by a thousandth."""
    levels = np.concatenate([golden.subject("film").feeds(Case(50, 1, seed))["r"] for seed in range(8)])
    assert levels.dtype == np.float32
    assert len(set(levels.tolist())) == 400
    assert levels.min() < 0.02
    assert levels.max() > 0.98
    angle = levels * np.float32(np.pi) / np.float32(2)
    assert angle.dtype == np.float32
    rounded = np.cos(angle.astype(np.float64)).astype(np.float32)
    assert np.array_equal(rounded, torch.cos(torch.from_numpy(angle)).numpy())
    assert np.array_equal(rounded, (torch.from_numpy(levels) * torch.pi / 2).cos().numpy())
    one_by_one = torch.cat([torch.cos(one) for one in torch.from_numpy(angle).split(1)])
    assert np.array_equal(rounded, one_by_one.numpy())


@pytest.mark.parametrize("name", ["encoder", "odd encoder"])
def test_audio_has_the_frames_that_were_asked_for(golden, name):
    subject = golden.subject(name)
    assert isinstance(subject, Encoder)
    config = LACConfig.from_kwargs(kwargs_of(subject.codec))
    lengths = set()
    for seed in range(20):
        for length in (1, 2, 5):
            audio = subject.feeds(Case(2, length, seed))["audio"]
            assert (audio.shape[:2], audio.dtype) == ((2, 1), np.float32)
            samples = audio.shape[2]
            assert config.frames(samples) >= 1
            assert samples <= max(length * config.hop, least_samples(config))
            assert -(-samples // config.hop) >= length
            lengths.add(samples % config.hop)
    assert len(lengths) > 5  # most are no multiple of the hop


def least_samples(config):
    return next(n for n in range(1, 10**6) if config.frames(n) >= 1)


def test_audio_is_neither_silent_nor_clipped(golden):
    for name in ("encoder", "wavebeat"):
        audio = golden.subject(name).feeds(Case(2, 9, 0))["audio"]
        assert 0.1 < audio.std() < 0.5
        assert np.abs(audio).max() < 1.5
        assert not np.array_equal(audio[0], audio[1])


def test_decoders_are_given_all_codebooks_and_fewer_and_mask_tokens(golden):
    for name, codebooks, rows in (("decoder", 14, 64), ("odd decoder", 4, 32)):
        feeds = [golden.subject(name).feeds(Case(2, 30, seed))["codes"] for seed in range(24)]
        assert all(codes.shape == (2, codebooks, 30) for codes in feeds[::2])
        assert {1, codebooks} <= {codes.shape[1] for codes in feeds}
        assert {codes.shape[1] for codes in feeds} <= set(range(1, codebooks + 1))
        assert {int(codes.max()) for codes in feeds} == {rows}
        assert {int(codes.min()) for codes in feeds} == {0}


def test_beat_trackers_are_given_steps_of_samples(golden):
    for length in (1, 3):
        samples = {
            golden.subject("wavebeat").feeds(Case(1, length, seed))["audio"].shape[2] for seed in range(30)
        }
        assert 256 * (length - 1) < min(samples) < max(samples) <= 256 * length


def run(golden, name, dtype, feeds, outputs=()):
    references = golden.references(name)
    side = references.near if dtype == torch.float32 else references.exact
    assert side.model.training is False
    return side.subject.run(side.model, feeds, outputs)


RECORDINGS = {
    "coarse_b1_t13": "coarse",
    "c2f_b2_t13": "c2f",
    "coarse_lora": "lora",
    "coarse_ctrl": "ctrl",
    "coarse_film": "film",
}


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("recording", RECORDINGS)
def test_transformers_repeat_what_was_recorded(golden, workshop, relative, recording, dtype):
    arrays = workshop.recorded(recording)
    feeds = {key: arrays[key] for key in ("codes", "r") if key in arrays}
    feeds |= {k.replace("/", "."): v.astype(np.float32) for k, v in arrays.items() if k.startswith("ctrl")}
    found = run(golden, RECORDINGS[recording], dtype, feeds)
    assert found.keys() == {"."}
    assert found["."].dtype == dtype
    assert relative(found["."], arrays["logits"]) <= 5e-7


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_codecs_repeat_what_was_recorded(golden, workshop, relative, dtype):
    arrays = workshop.recorded("codec_n3841")
    codes = run(golden, "encoder", dtype, {"audio": arrays["audio"]})["."]
    assert np.array_equal(codes, arrays["codes"])
    decoded = run(golden, "decoder", dtype, {"codes": arrays["codes"]})["."]
    assert decoded.dtype == dtype
    assert relative(decoded, arrays["vampnet_decode"]) <= ORIGINAL
    masked = workshop.recorded("decode_with_mask_tokens")
    assert (
        relative(run(golden, "decoder", dtype, {"codes": masked["codes"]})["."], masked["audio"]) <= ORIGINAL
    )


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_odd_codecs_repeat_what_was_recorded(golden, workshop, relative, dtype):
    arrays = workshop.recorded("codec_odd")
    lengths = {key.split("/")[0] for key in arrays}
    assert len(lengths) > 1
    for n in lengths:
        audio, codes = arrays[f"{n}/audio"], arrays[f"{n}/codes"]
        found = run(golden, "odd encoder", dtype, {"audio": audio})["."]
        assert np.array_equal(found, codes)
        assert (
            relative(run(golden, "odd decoder", dtype, {"codes": codes})["."], arrays[f"{n}/decoded"])
            <= ORIGINAL
        )


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_beat_trackers_repeat_what_was_recorded(golden, workshop, relative, dtype):
    arrays = workshop.recorded("wavebeat")
    found = run(golden, "wavebeat", dtype, {"audio": arrays["audio"]})
    assert list(found) == [".", ".#1"]
    assert relative(found["."], arrays["raw"]) <= 2e-6
    assert relative(found[".#1"], arrays["activations"]) <= 2e-6


def test_an_encoder_goes_on_with_the_codes_that_were_chosen(golden):
    """A code that ONNX Runtime chose by another rounding makes none of the later ones wrong."""
    exact = golden.references("odd encoder").exact
    feeds = golden.subject("odd encoder").feeds(Case(1, 6, 0))
    own = exact.subject.run(exact.model, feeds, [])["."].numpy()
    forced = own.copy()
    forced[0, 1, 2] = (forced[0, 1, 2] + 1) % 32
    assert np.array_equal(exact.subject.run(exact.model, feeds, [forced])["."], forced)
    for unfit in (
        forced[:, :3],
        forced + 32,
        -1 - forced,
        forced.astype(np.int32),
        forced[:, :, :2],
        forced[0],
    ):
        assert np.array_equal(exact.subject.run(exact.model, feeds, [unfit])["."], own)


def test_codes_that_fit(golden):
    model = golden.references("odd encoder").exact.model
    codes = np.zeros((2, 4, 5), np.int64)
    z = torch.zeros(2, 1, 5)
    assert codes_fit(model, codes)
    assert codes_fit(model, codes + 31, z)
    for unfit in (codes - 1, codes + 32, codes[:, :2], codes[:, :, :0], codes[0], codes.astype(np.float32)):
        assert not codes_fit(model, unfit)
    assert not codes_fit(model, codes, torch.zeros(2, 1, 6))
    assert not codes_fit(model, codes, torch.zeros(1, 1, 5))


def test_building_in_one_precision_leaves_the_other_as_it_is(golden):
    """Weights are read once, and LoRA pairs are merged into copies of them."""
    given = golden.subject("lora")
    feeds = given.feeds(Case(1, 4, 0))
    alone = Transformer(given.part, given.checkpoint, given.codec, given.fine_tune)
    wanted = alone.run(alone.build(torch.float64), feeds, [])["."]
    both = Transformer(given.part, given.checkpoint, given.codec, given.fine_tune)
    for _ in range(2):
        both.build(torch.float32)
    assert torch.equal(both.run(both.build(torch.float64), feeds, [])["."], wanted)
    without = Transformer(given.part, given.checkpoint, given.codec)
    assert not torch.allclose(without.run(without.build(torch.float64), feeds, [])["."], wanted)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_checkpoints_in_other_precisions_are_taken_at_their_word(workshop, dtype):
    saved = workshop.load("coarse")
    saved["state_dict"] = {k: v.to(dtype) for k, v in saved["state_dict"].items()}
    with open_checkpoint(workshop.save(saved, workshop.place() / "coarse.pth")) as checkpoint:
        tensors = tensors_of(checkpoint)
        assert VampNetConfig.from_kwargs(kwargs_of(checkpoint)).n_codebooks == 4
    assert tensors.keys() == set(saved["state_dict"])
    for name, tensor in tensors.items():
        assert tensor.dtype == (torch.float32 if dtype == torch.bfloat16 else dtype)
        assert torch.equal(tensor.double(), saved["state_dict"][name].double())
