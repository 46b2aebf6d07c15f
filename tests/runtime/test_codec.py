"""Codecs in chunks: the same codes, and audio within float32 rounding."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.codes import SIGNALS, signal
from vampconv.errors import InputOutputError
from vampconv.runtime import Codec

NAMES = ("codec", "codec_odd", "uneven")
FRAMES = (1, 3, 10, 25)


def noise(length, rows=1, seed=0):
    random = np.random.default_rng(seed + length)
    return (0.3 * random.standard_normal((rows, 1, length))).astype(np.float32)


def lengths(model):
    hop = model.hop
    return [
        n for n in (1, hop - 1, hop, hop + 1, 2 * hop, 37 * hop + 11, 7919, 30011) if n >= model.min_samples
    ]


def rounding(model, codes):
    """Relative L2 change of a whole decoding when it is followed by more frames, away from those."""
    more = np.concatenate([codes, codes[..., :30]], axis=2)
    kept = max(0, codes.shape[2] - 25) * model.hop
    short, long = model.decode(codes)[..., :kept], model.decode(more)[..., :kept]
    return np.linalg.norm(short - long) / np.linalg.norm(short) if kept else 0.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", FRAMES)
def test_codes_are_equal(codec, whole, name, frames):
    chunked, one = codec(name, frames, workers=2), whole(name)
    for length in lengths(one):
        audio = noise(length)
        codes = chunked.encode(audio)
        assert codes.dtype == np.int64
        assert np.array_equal(codes, one.encode(audio))
    assert chunked.encoder.field is not None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("frames", FRAMES)
def test_audio_is_equal_but_for_rounding(codec, whole, relative, name, frames):
    chunked, one = codec(name, frames, workers=2), whole(name)
    random = np.random.default_rng(frames)
    for time in (1, 2, 7, 31, 97):
        codes = random.integers(0, one.codebook_size + 1, (1, one.n_codebooks, time))
        found, wanted = chunked.decode(codes), one.decode(codes)
        assert found.dtype == np.float32
        assert relative(found, wanted) <= max(2e-5, 4 * rounding(one, codes))
        assert np.abs(found - wanted).max() <= 5e-4
    assert chunked.decoder.field is not None


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [2, 3])
def test_batches(codec, whole, truth, relative, name, rows):
    chunked, one = codec(name, 9, workers=2), whole(name)
    audio = noise(45 * one.hop + 7, rows)
    codes = chunked.encode(audio)
    assert np.array_equal(codes, one.encode(audio))
    truth[name].check(audio, codes)
    for row in range(rows):
        assert np.array_equal(codes[row : row + 1], one.encode(audio[row : row + 1]))
    assert relative(chunked.decode(codes), one.decode(codes)) <= 2e-5


@pytest.mark.parametrize("name", NAMES)
def test_workers_change_nothing(codec, name):
    results = []
    for workers in (1, 2, 5):
        model = codec(name, 6, workers=workers)
        audio = noise(61 * model.hop + 3, 2)
        codes = model.encode(audio)
        results.append((codes, model.decode(codes)))
    for codes, audio in results[1:]:
        assert np.array_equal(codes, results[0][0])
        assert np.array_equal(audio, results[0][1])


@pytest.mark.parametrize("name", ["codec_n3841", "codec_n5376", "codec_n6911"])
@pytest.mark.parametrize("frames", [None, 2])
def test_golden(codec, workshop, relative, name, frames):
    recorded, model = workshop.recorded(name), codec("codec", frames)
    assert np.array_equal(model.encode(recorded["audio"]), recorded["codes"])
    assert relative(model.decode(recorded["codes"]), recorded["vampnet_decode"]) <= 5e-5


@pytest.mark.parametrize("key", ["n105", "n150", "n151", "n299"])
@pytest.mark.parametrize("frames", [None, 1])
def test_golden_of_odd_strides(codec, workshop, relative, key, frames):
    recorded, model = workshop.recorded("codec_odd"), codec("codec_odd", frames)
    assert np.array_equal(model.encode(recorded[f"{key}/audio"]), recorded[f"{key}/codes"])
    assert relative(model.decode(recorded[f"{key}/codes"]), recorded[f"{key}/decoded"]) <= 1e-5


def test_golden_mask_tokens(codec, workshop, relative):
    recorded = workshop.recorded("decode_with_mask_tokens")
    assert (recorded["codes"] == 64).any()
    assert relative(codec("codec", 2).decode(recorded["codes"]), recorded["audio"]) <= 5e-5


def test_fewer_codebooks(codec, whole, relative):
    codes = np.random.default_rng(0).integers(0, 64, (1, 14, 50))
    chunked, one = codec("codec", 8), whole("codec")
    results = [one.decode(codes[:, :n]) for n in (1, 4, 14)]
    assert len({r.tobytes() for r in results}) == 3
    for n, wanted in zip((1, 4, 14), results, strict=True):
        assert relative(chunked.decode(codes[:, :n]), wanted) <= 2e-5


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SIGNALS)
def test_codes_of_any_signal_are_right(codec, whole, truth, name, kind):
    chunked, one = codec(name, 5, workers=2), whole(name)
    for length in (37 * one.hop + 11, 7919):
        audio = signal(kind, length)
        codes = chunked.encode(audio)
        assert np.array_equal(codes, one.encode(audio))
        assert truth[name].check(audio, codes) <= 1  # measured: 0


def test_codes_of_ten_seconds_are_right(codec, whole, truth):
    audio = signal("chord", 441_000)
    codes = whole("codec").encode(audio)
    assert codes.shape == (1, 14, 575)
    assert truth["codec"].check(audio, codes) <= 8  # of 8050; measured: 0
    assert np.array_equal(codec("codec", workers=2, seconds=2).encode(audio), codes)


def test_views_are_taken_and_left_alone(codec):
    model = codec("codec_odd", 4)
    audio = np.asfortranarray(noise(999, 2))[:, :, ::-1]
    before = audio.copy()
    assert np.array_equal(model.encode(audio), model.encode(before))
    assert np.array_equal(audio, before)


def test_from_paths(bundles, codec):
    bundle = bundles["codec"]
    sizes = json.loads((bundle / "vampconv.json").read_text())["models"]["encoder"]["architecture"]
    model = Codec(bundle / "encoder.onnx", bundle / "decoder.onnx", sizes)
    audio = noise(5000)
    assert np.array_equal(model.encode(audio), codec("codec").encode(audio))


def test_a_missing_model(tmp_path, workshop):
    with pytest.raises(InputOutputError, match=r"has no vampconv\.json"):
        Codec.of_bundle(tmp_path)
    with pytest.raises(InputOutputError, match="has no encoder"):
        Codec.of_bundle(workshop.bundle("coarse", "codec"))
    sizes = dict.fromkeys(("hop", "min_samples", "n_codebooks", "codebook_size", "sample_rate"), 1)
    with pytest.raises(InputOutputError, match="cannot be loaded"):
        _ = Codec(tmp_path / "a.onnx", tmp_path / "b.onnx", sizes).encoder
