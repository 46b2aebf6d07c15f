"""Real audio through both: two files side by side, and what they differ by."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
import soundfile

from vampconv.errors import UsageError, VampconvError
from vampconv.verify.result import Verdict
from vampconv.verify.verify import Request, verify

from ..common import GOLDEN

RATE, SECONDS = 44100, 0.2
SHORT = {"lengths": [2], "batches": [1], "threads": 1}


@pytest.fixture
def sound(tmp_path):
    """A stereo file of another rate: two tones that fade, and a little noise."""
    random = np.random.default_rng(3)
    time = np.arange(int(SECONDS * 48000)) / 48000
    tones = np.stack([np.sin(2 * np.pi * pitch * time) for pitch in (220, 331)]) * np.exp(-3 * time)
    soundfile.write(
        tmp_path / "tones.wav", (0.3 * tones + 0.01 * random.standard_normal(tones.shape)).T, 48000
    )
    return tmp_path / "tones.wav"


def run(bundle, sound, **options):
    return verify(Request(bundle, [GOLDEN], audio=sound, audio_directory=sound.parent, **SHORT, **options))


def test_both_sounds_are_written_with_their_difference(workshop, sound):
    found = run(workshop.whole("codec"), sound)
    encoder, decoder = found.parts
    assert found.verdict is Verdict.PASS
    last = decoder.sounds[-1]
    assert last.part == "tones.wav"
    assert [name.rsplit("/", 1)[1] for name in last.files] == ["tones.reference.wav", "tones.onnx.wav"]
    (reference, rate), (onnx, _) = (soundfile.read(name, dtype="float64") for name in last.files)
    assert rate == RATE
    assert reference.shape == onnx.shape == (round(SECONDS * RATE),)
    assert np.abs(reference).max() > 1e-3
    assert np.abs(onnx - reference).max() == pytest.approx(last.largest_difference, rel=0.3)
    noise = np.square(onnx - reference).sum() / np.square(reference).sum()
    assert last.snr_db == pytest.approx(-10 * np.log10(noise), abs=3)
    assert last.snr_db > 90
    frames = -(-round(SECONDS * RATE) // 768)
    assert encoder.tokens.positions == 14 * (2 + frames)
    assert encoder.tokens.real == 0


def test_a_decoder_that_is_wrong_is_heard(workshop, sound, tmp_path):
    bundle = shutil.copytree(workshop.whole("codec_odd"), tmp_path / "bundle")
    data = np.fromfile(bundle / "decoder.onnx.data", np.float32)
    data *= np.float32(1.01)
    data.tofile(bundle / "decoder.onnx.data")
    found = run(bundle, sound)
    assert found.verdict is Verdict.FAIL
    right, wrong = (f.parts[1].sounds[-1] for f in (run(workshop.whole("codec_odd"), sound), found))
    assert wrong.snr_db < right.snr_db - 40


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "none.wav"), (b"no sound at all", "none.wav"), (b"", "none.wav")],
)
def test_a_file_that_is_no_sound(workshop, tmp_path, content, told):
    path = tmp_path / "none.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VampconvError, match=told):
        run(workshop.whole("codec_odd"), path)


def test_a_bundle_without_a_codec(workshop, sound):
    with pytest.raises(UsageError, match="--audio needs a bundle with encoder and decoder"):
        run(workshop.whole("wavebeat"), sound)


def test_the_command_tells_where_the_sounds_are(vampconv, workshop, sound, tmp_path):
    options = ("--lengths", "1", "--batches", "1", "--against", GOLDEN, "--json", tmp_path / "r.json")
    ran = vampconv("verify", workshop.whole("codec_odd"), "--audio", sound, *options)
    assert ran.code == 0, ran.err
    assert "decoder: tones.wav, " in ran.out
    assert str(tmp_path / "tones.onnx.wav") in ran.out
    assert json.loads((tmp_path / "r.json").read_text())["parts"][1]["sounds"][-1]["files"]
