"""Audio in pieces, through each stage and through all: the same as of the whole, bit for bit."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest

from vampconv.errors import BadInputError, UsageError
from vampconv.runtime import VampNet, stream_audio
from vampconv.runtime.audio.levels import LevelMeter
from vampconv.runtime.audio.prepare import measure, prepare
from vampconv.runtime.masks.build import MaskOptions, build_mask
from vampconv.runtime.masks.rule import StreamedMask, rule_of
from vampconv.runtime.resample import Resampler, resample
from vampconv.runtime.sampling.seeded import source

RATES = [(48000, 44100), (96000, 44100), (8000, 44100), (44100, 44100), (22050, 44100), (11025, 8000)]
OPTIONS = {"periodic_prompt": 0, "rand_mask_intensity": 0.6, "prefix_s": 0.1}


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, shape).astype(np.float32)


def pieces(array, *sizes):
    """The array, cut along its last axis into pieces of these sizes over and over."""
    start = 0
    for size in itertools.cycle(sizes):
        if start >= array.shape[-1]:
            return
        yield array[..., start : start + size]
        start += size


def joined(found):
    return np.concatenate(list(found), axis=-1)


@pytest.fixture(scope="module")
def short(playable):
    """Models that run in many short chunks."""
    vampnet = VampNet(playable, threads=2, coarse_chunk_s=0.3, c2f_chunk_s=0.1)
    vampnet.codec.chunk_seconds = 0.25
    return vampnet


@pytest.mark.parametrize(("old", "new"), RATES)
@pytest.mark.parametrize(("length", "sizes"), [(1, [1]), (2, [1]), (700, [1, 3]), (50001, [7000, 1, 999])])
def test_resampling(old, new, length, sizes):
    audio = noise(2, length)
    resampler = Resampler(old, new)
    made = [resampler.add(piece) for piece in pieces(audio, *sizes)]
    rest = resampler.finish()
    found = joined([*made, rest] if rest.size else made)
    np.testing.assert_array_equal(found, resample(audio, old, new))


@pytest.mark.parametrize("steps", [1, 2, 3, 40, 133])
@pytest.mark.parametrize("sizes", [[1], [5, 20], [10**6]])
def test_the_codec(short, steps, sizes):
    audio = noise(2, 1, 768 * steps)
    codes = short.codec.encode(audio)
    np.testing.assert_array_equal(
        joined(short.codec.encode_stream(pieces(audio, *(768 * size - 5 for size in sizes)))), codes
    )
    np.testing.assert_array_equal(
        joined(short.codec.decode_stream(pieces(codes, *sizes))), short.decode(codes)
    )


def test_a_codec_that_must_see_the_whole(short, monkeypatch):
    codes = short.codec.encode(noise(1, 1, 768 * 9))
    wanted = short.decode(codes)
    monkeypatch.setattr(short.codec.decoder, "field", None)
    np.testing.assert_array_equal(joined(short.codec.decode_stream(pieces(codes, 2))), wanted)


@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("rate", [48000, 44100])
def test_preprocessing(short, channels, rate):
    audio = noise(channels, 30001)
    whole = short.preprocess(audio[None], rate)
    level = measure(pieces(audio, 7000), rate, 44100)
    assert (level.loudness, level.gain()) == (whole.loudness[0], whole.gain[0])
    found = prepare(pieces(audio, 1, 4000), rate, to_rate=44100, hop=768, gain=level.gain())
    np.testing.assert_array_equal(joined(found), whole.audio)


@pytest.mark.parametrize("sizes", [[500], [7000, 1], [10**6]])
def test_audio_to_audio(short, sizes):
    """With any pieces what encoding, vamping and decoding the whole gives, and the first before all was read."""
    audio = noise(2, 60000)
    codes = short.encode(audio[None], 48000)
    mask = short.build_mask(codes, noise=4, **OPTIONS)
    made = short.vamp(codes, mask, noise=4, sampling_steps=2, batch_size=2, feedback_steps=2)
    rule = StreamedMask(MaskOptions(**OPTIONS), 14, source(4), 44100 / 768)
    options = {"noise": 4, "sampling_steps": 2, "batch_size": 2, "feedback_steps": 2, "mask": rule}
    read = []

    def watched():
        for piece in pieces(audio, *sizes):
            read.append(piece.shape[-1])
            yield piece

    found = stream_audio(short, watched, 48000, **options)
    first = next(found)
    twice = 2 * audio.shape[-1]
    assert sum(read) < twice or sizes[0] > audio.shape[-1]
    np.testing.assert_array_equal(joined([first, *found]), short.decode(made.codes))
    assert sum(read) == twice


def test_stretched_and_of_several_channels(short):
    audio = noise(2, 20000)
    options = {"gain": 0.5, "noise": 4, "sampling_steps": 2, "time_stretch_factor": 2}
    mask = np.zeros((1, 28), np.int64)
    both = joined(stream_audio(short, pieces(audio, 999), 44100, stereo=True, mask=mask, **options))
    assert both.shape == (1, 2, 2 * 27 * 768)
    for channel in range(2):
        alone = joined(stream_audio(short, [audio[channel : channel + 1]], 44100, mask=mask, **options))
        np.testing.assert_array_equal(both[:, channel], alone[:, 0])


def test_memory_does_not_grow_with_the_length(short):
    """What Python holds; the models' own memory is that of one chunk."""

    def peak(seconds):
        def audio():
            for second in range(seconds):
                yield noise(1, 44100, seed=second)

        rule = StreamedMask(MaskOptions(periodic_prompt=0), 14, source(0), 44100 / 768)
        tracemalloc.start()
        for _ in stream_audio(short, audio(), 44100, gain=1.0, mask=rule, noise=0, sampling_steps=1):
            pass
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(6) < 1.3 * peak(2)


def test_what_needs_the_future_is_refused(short):
    rule = StreamedMask(MaskOptions(**OPTIONS), 14, source(4), 57.0)
    with pytest.raises(UsageError, match="loudness of audio that comes once"):
        stream_audio(short, iter([noise(1, 9)]), 44100, mask=rule)
    for name, value in {"suffix_s": 1.0, "periodic_prompt": 7, "onset_mask_width": 1, "dropout": 0.1}.items():
        with pytest.raises(UsageError, match=f"{name} needs the length"):
            StreamedMask(MaskOptions(**OPTIONS | {name: value}), 14, source(4), 57.0)


def test_bad_audio_and_masks(short):
    rule = StreamedMask(MaskOptions(**OPTIONS), 14, source(4), 57.0)
    bad = noise(1, 9000)
    bad[0, 8000] = np.nan
    for audio, told in (([], "no samples"), (pieces(bad, 500), "is nan")):
        with pytest.raises(BadInputError, match=told):
            joined(stream_audio(short, audio, 44100, gain=1.0, mask=rule, noise=1, sampling_steps=1))
    with pytest.raises(BadInputError, match="the mask is of 3 steps"):
        joined(
            stream_audio(
                short, [noise(1, 9000)], 44100, gain=1.0, mask=np.ones((1, 3), int), sampling_steps=1
            )
        )
    with pytest.raises(BadInputError, match="cannot be taken"):
        rule_of(np.ones(3, int))


def test_a_mask_in_parts_is_the_mask():
    rule = StreamedMask(MaskOptions(**OPTIONS), 14, source(4), 44100 / 768)
    found = np.concatenate([rule(start, start + 7) for start in range(0, 70, 7)], axis=-1)
    np.testing.assert_array_equal(
        found, build_mask((1, 14, 70), MaskOptions(**OPTIONS), source(4), 44100 / 768)
    )


def test_levels_in_pieces():
    audio = np.concatenate((noise(2, 9000), np.zeros((2, 22050), np.float32)), axis=-1)
    found = []
    for sizes in ([1000, 1], [10**6]):
        meter = LevelMeter(44100, 2)
        for piece in pieces(audio, *sizes):
            meter.add(piece)
        found.append(meter.levels())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-9)
    assert found[0].peak_db == pytest.approx(20 * np.log10(np.abs(audio).max()))
    assert found[0].silence == pytest.approx(10 / 15, abs=0.05)
    zeros = LevelMeter(8000, 1)
    zeros.add(np.zeros((1, 1), np.float32))
    assert (zeros.levels().silence, zeros.levels().as_json()["peak_db"]) == (1, None)
