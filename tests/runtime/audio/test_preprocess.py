"""What precedes the codec: as recorded, and with audio of all kinds."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import soundfile

from tests.runtime.recordings import recording
from vampconv.errors import BadInputError
from vampconv.runtime.audio import QuietAudioWarning, loudness, preprocess, read_audio
from vampconv.verify.audio_files import snr_db

RECORDED = ("mono22k_quiet", "mono44k", "stereo48k")


def prepared(audio, rate, **options):
    return preprocess(audio, rate, to_rate=44100, hop=768, **options)


def noise(channels, samples, level=0.1):
    return np.random.default_rng(samples).normal(0, level, (1, channels, samples)).astype(np.float32)


@pytest.mark.parametrize("name", RECORDED)
def test_recorded_audio_and_codes(vampnet, name):
    archive = recording(f"preprocess_{name}")
    audio, rate = archive["audio"], int(archive["sample_rate"])
    found = vampnet.preprocess(audio, rate)
    assert found.audio.shape == archive["preprocessed"].shape
    assert snr_db(found.audio, archive["preprocessed"]) > 120
    np.testing.assert_array_equal(vampnet.encode(audio, rate), archive["codes"], strict=True)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000, 96000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_rates_and_channels(rate, channels):
    audio = noise(channels, rate)
    found = prepared(audio, rate)
    assert found.samples == 44100
    assert found.audio.shape == (1, 1, 58 * 768)
    assert not found.audio[..., 44100:].any()
    assert loudness(found.audio[0, :, :44100], 44100) == pytest.approx(-24, abs=1e-3)
    if rate == 44100:
        mono = audio.astype(np.float64).mean(axis=1, keepdims=True) * found.gain[0]
        assert snr_db(found.audio[..., :44100], mono) > 120


def test_a_peak_does_not_pass_one():
    audio = noise(1, 44100, 1e-4)
    audio[..., 1000] = 0.5
    found = prepared(audio, 44100)
    assert np.abs(found.audio).max() == pytest.approx(1, abs=1e-6)
    assert loudness(found.audio[0], 44100) < -25


def test_another_loudness():
    found = prepared(noise(1, 44100), 44100, target=-40.0)
    assert loudness(found.audio[0, :, :44100], 44100) == pytest.approx(-40, abs=1e-3)


@pytest.mark.parametrize(("samples", "rate"), [(1, 44100), (1, 8000), (1, 96000), (768, 44100), (769, 44100)])
def test_short_audio(vampnet, samples, rate):
    audio = np.full((1, 1, samples), 0.5, np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuietAudioWarning)
        codes = vampnet.encode(audio, rate)
    assert codes.shape == (1, 14, 1 + (samples > 768))
    assert vampnet.decode(codes).shape == (1, 1, 768 * codes.shape[-1])


def test_silence_is_taken_with_a_warning(vampnet):
    audio = np.zeros((1, 2, 30000), np.float32)
    with pytest.warns(QuietAudioWarning, match="-70 LUFS"):
        found = vampnet.preprocess(audio, 48000)
    assert found.loudness == (-70,)
    assert found.gain[0] == pytest.approx(10 ** (46 / 20))
    assert not found.audio.any()


def test_each_of_a_batch_is_scaled_alone():
    audio = np.concatenate((noise(2, 44100), noise(2, 44100) * np.float32(0.1)))
    found = prepared(audio, 44100)
    np.testing.assert_allclose(found.audio[0], found.audio[1], rtol=1e-4, atol=1e-6)
    assert found.loudness[0] - found.loudness[1] == pytest.approx(20, abs=1e-4)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT"])
def test_files_of_any_depth(tmp_path, vampnet, subtype):
    audio = noise(2, 20000)
    soundfile.write(tmp_path / "a.wav", audio[0].T, 48000, subtype=subtype)
    read, rate = read_audio(tmp_path / "a.wav")
    assert rate == 48000
    deep = subtype != "PCM_16"
    assert snr_db(read, audio[0]) > (110 if deep else 65)
    codes, wanted = vampnet.encode(read[None], rate), vampnet.encode(audio, 48000)
    assert (codes == wanted).mean() > (0.99 if deep else 0.5)


@pytest.mark.parametrize(
    ("audio", "message"),
    [
        (np.zeros((1, 1, 0), np.float32), "not empty"),
        (np.zeros((1, 0, 5), np.float32), "not empty"),
        (np.zeros((5,), np.float32), r"\[5\]"),
        (np.zeros((1, 1, 5)), "float64"),
        (np.full((1, 1, 5), np.nan, np.float32), "nan"),
        (np.full((1, 2, 5), -np.inf, np.float32), "inf"),
    ],
)
def test_what_is_no_audio_is_refused(audio, message):
    with pytest.raises(BadInputError, match=message):
        prepared(audio, 44100)


@pytest.mark.parametrize("rate", [0, -1, 44100.5, None])
def test_what_is_no_rate_is_refused(rate):
    with pytest.raises(BadInputError, match="sample rate"):
        prepared(noise(1, 100), rate)
