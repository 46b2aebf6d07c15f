"""Audio files: what is written is read again, and what is not audio is refused in one line."""

from __future__ import annotations

import builtins
import contextlib

import numpy as np
import pytest
import soundfile

from tests.common import LINE
from vampconv.errors import BadInputError, InputOutputError
from vampconv.runtime.audio import read_audio, write_wav
from vampconv.verify.audio_files import snr_db

RATE = 44100


@pytest.fixture
def audio() -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.2, (2, 3000)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_what_is_written_is_read_bit_for_bit(tmp_path, channels):
    audio = np.random.default_rng(0).normal(0, 3, (channels, 1000)).astype(np.float32)  # beyond ±1 too
    write_wav(tmp_path / "a.wav", audio, 22050)
    found, rate = read_audio(tmp_path / "a.wav")
    np.testing.assert_array_equal(found, audio, strict=True)
    assert rate == 22050
    assert found.flags.c_contiguous
    assert soundfile.info(tmp_path / "a.wav").subtype == "FLOAT"


def test_one_channel_needs_no_axis_and_other_floats_are_rounded(tmp_path, audio):
    write_wav(tmp_path / "a.wav", audio[0].astype(np.float64), RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], audio[:1], strict=True)


def test_a_file_that_is_there_is_replaced(tmp_path, audio):
    write_wav(tmp_path / "a.wav", audio, RATE)
    write_wav(tmp_path / "a.wav", audio[:, :5], RATE)
    assert read_audio(tmp_path / "a.wav")[0].shape == (2, 5)


@pytest.mark.parametrize(
    ("name", "subtype", "decibels"),
    [("a.wav", "PCM_16", 70), ("a.wav", "PCM_24", 115), ("a.wav", "DOUBLE", 200), ("a.flac", "PCM_24", 115)],
)
def test_formats(tmp_path, audio, name, subtype, decibels):
    audio = audio.clip(-0.99, 0.99)
    soundfile.write(tmp_path / name, audio.T, RATE, subtype)
    found, rate = read_audio(tmp_path / name)
    assert (found.dtype, rate) == (np.float32, RATE)
    assert snr_db(found, audio) > decibels


def test_audio_longer_than_a_block(tmp_path):
    audio = np.linspace(-1, 1, 700_000, dtype=np.float32)[None]
    write_wav(tmp_path / "a.wav", audio, RATE)
    np.testing.assert_array_equal(read_audio(tmp_path / "a.wav")[0], audio, strict=True)


@pytest.mark.parametrize(
    ("shape", "rate"), [((1, 2, 3), RATE), ((3000, 2), RATE), ((0,), RATE), ((2, 0), RATE), ((5,), 0)]
)
def test_what_is_not_audio_is_not_written(tmp_path, shape, rate):
    with pytest.raises(BadInputError) as error:
        write_wav(tmp_path / "a.wav", np.zeros(shape, np.float32), rate)
    assert LINE.fullmatch(f"{error.value.line()}\n")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_neither_written_nor_read(tmp_path, audio, value):
    audio[1, 7] = value
    with pytest.raises(BadInputError, match="1 samples are NaN or infinite"):
        write_wav(tmp_path / "a.wav", audio, RATE)
    assert not list(tmp_path.iterdir())
    soundfile.write(tmp_path / "b.wav", audio.T, RATE, "FLOAT")
    with pytest.raises(BadInputError, match=r"b\.wav: 1 samples are NaN or infinite"):
        read_audio(tmp_path / "b.wav")


def test_places_that_cannot_be_written_or_read(tmp_path, audio):
    for path in (tmp_path, tmp_path / "none" / "a.wav"):
        with pytest.raises(InputOutputError, match="cannot be written"):
            write_wav(path, audio, RATE)
        with pytest.raises(InputOutputError, match=r"is a directory|does not exist") as error:
            read_audio(path)
        assert LINE.fullmatch(f"{error.value.line()}\n")


def test_files_that_are_not_audio(tmp_path, audio):
    write_wav(tmp_path / "a.wav", audio, RATE)
    soundfile.write(tmp_path / "a.flac", audio.T.clip(-0.99, 0.99), RATE)
    soundfile.write(tmp_path / "none.wav", audio.T[:0], RATE)
    whole = {kind: (tmp_path / f"a.{kind}").read_bytes() for kind in ("wav", "flac")}
    (tmp_path / "empty.wav").write_bytes(b"")
    (tmp_path / "text.wav").write_bytes(b"not audio\n" * 100)
    (tmp_path / "head.wav").write_bytes(whole["wav"][:20])
    (tmp_path / "half.flac").write_bytes(whole["flac"][: len(whole["flac"]) // 2])
    (tmp_path / "samples.raw").write_bytes(whole["wav"])
    for name in ("empty.wav", "text.wav", "none.wav", "head.wav", "half.flac", "samples.raw"):
        with pytest.raises(BadInputError) as error:
            read_audio(tmp_path / name)
        assert LINE.fullmatch(f"{error.value.line()}\n")
        assert str(tmp_path / name) in error.value.line()


def test_damage_is_refused_or_read_and_never_crashes(tmp_path, audio):
    soundfile.write(tmp_path / "a.flac", audio.T.clip(-0.99, 0.99), RATE)
    write_wav(tmp_path / "a.wav", audio, RATE)
    rng = np.random.default_rng(0)
    for name in ("a.flac", "a.wav"):
        content = (tmp_path / name).read_bytes()
        for _ in range(60):
            damaged = bytearray(content)
            for place in rng.integers(0, 100, 3):
                damaged[place] ^= 1 << rng.integers(0, 8)
            (tmp_path / name).write_bytes(damaged)
            with contextlib.suppress(BadInputError):
                found, rate = read_audio(tmp_path / name)
                assert found.size
                assert rate
                assert np.isfinite(found).all()


def test_without_the_library(tmp_path, audio, monkeypatch):
    write_wav(tmp_path / "a.wav", audio, RATE)
    plain = builtins.__import__

    def refuse(name, *rest):
        if name == "soundfile":
            raise ImportError(name)
        return plain(name, *rest)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(InputOutputError, match="pip install soundfile"):
        read_audio(tmp_path / "a.wav")


def test_paths_may_be_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_wav("out.wav", np.ones(5, np.float32), 8000)
    audio, rate = read_audio("out.wav")
    assert (audio.tolist(), rate) == ([[1.0] * 5], 8000)
