"""A bundle as an instrument: what it plays, and what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from tests.common import LINE
from tests.runtime.recordings import GeneratorNoise
from vampconv.errors import BadInputError, InputOutputError, UsageError, VampconvError
from vampconv.runtime import VampNet

NOISE = GeneratorNoise(3)
CODES = np.random.default_rng(0).integers(0, 64, (1, 14, 40))
MASK = np.ones((1, 14, 40), np.int64)


def with_value(array, place, value):
    changed = array.copy()
    changed[place] = value
    return changed


@pytest.fixture
def copied(playable, tmp_path):
    """A copy of the bundle."""
    return shutil.copytree(playable, tmp_path / "bundle")


def edit(bundle, change):
    path = bundle / "vampconv.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    change(content)
    path.write_text(json.dumps(content), encoding="utf-8")


def refuses(kind, message, call, *arguments, **options):
    with pytest.raises(kind, match=message) as error:
        call(*arguments, **options)
    assert isinstance(error.value, VampconvError)
    assert LINE.fullmatch(f"{error.value.line()}\n")


def test_audio_to_audio(vampnet):
    audio = np.random.default_rng(0).normal(0, 0.1, (1, 2, 30000)).astype(np.float32)
    codes = vampnet.encode(audio, 48000)
    mask = vampnet.build_mask(codes, noise=4)
    found = vampnet.vamp(codes, mask, noise=4, sampling_steps=3)
    sound = vampnet.decode(found.codes)
    assert sound.shape == (1, 1, codes.shape[-1] * 768)
    assert np.isfinite(sound).all()
    np.testing.assert_array_equal(found.codes[:, :3][mask[:, :3] == 0], codes[:, :3][mask[:, :3] == 0])
    again = vampnet.vamp(codes, vampnet.build_mask(codes, noise=4), noise=4, sampling_steps=3)
    np.testing.assert_array_equal(again.codes, found.codes)
    other = vampnet.vamp(codes, mask, noise=5, sampling_steps=3)
    assert (other.codes != found.codes).any()


def test_without_a_seed_each_vamp_is_another(vampnet):
    first, second = (vampnet.vamp(CODES, MASK, sampling_steps=1).codes for _ in range(2))
    assert (first != second).mean() > 0.5


def test_variations_are_a_batch(vampnet):
    found = vampnet.vamp(CODES, MASK, noise=NOISE, batch_size=3, sampling_steps=2).codes
    assert found.shape == (3, 14, 40)
    assert (found[0] != found[1]).mean() > 0.5
    assert (found[1] != found[2]).mean() > 0.5


def test_time_and_seconds(vampnet):
    assert vampnet.s2t(10) == 575
    assert vampnet.s2t(np.array([0, 3.0])).tolist() == [0, 173]
    assert vampnet.t2s(575) == pytest.approx(575 * 768 / 44100)
    assert VampNet(vampnet.bundle.directory)._chunk_length("coarse") == 575
    assert VampNet(vampnet.bundle.directory)._chunk_length("c2f") == 173


def test_a_mask_of_time_is_that_of_all_codebooks(vampnet):
    along = (np.arange(40) % 3 == 0)[None]
    whole = np.broadcast_to(along[:, None], MASK.shape)
    found = [
        vampnet.vamp(CODES, mask, noise=NOISE, sampling_steps=2).codes
        for mask in (along, along.astype(np.int64), whole, whole.astype(np.uint8))
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])
    np.testing.assert_array_equal(found[0][..., ~along[0]], CODES[..., ~along[0]])


def test_missing_fine_codebooks_are_made(vampnet):
    found = vampnet.vamp(CODES[:, :4], MASK[:, :4] * 0, noise=NOISE).codes
    assert found.shape == CODES.shape
    np.testing.assert_array_equal(found[:, :4], CODES[:, :4])
    assert len(np.unique(found[:, 4:])) > 30


def test_ends_of_chunks_are_kept_where_anything_is(vampnet):
    mask = MASK.copy()
    mask[0, 0, 20] = 0
    found = vampnet.vamp(CODES, mask, noise=NOISE, sampling_steps=1)
    kept = (found.masked[0, :4] != 64).all(axis=0)
    assert set(np.flatnonzero(kept).tolist()) == {18, 35}  # of chunks 0–17, 18–35, 36–39


def test_feedback_vamps_what_was_made(vampnet):
    mask = with_value(MASK, (0, slice(0, 4), 20), 0)
    once, twice = (vampnet.vamp(CODES, mask, noise=NOISE, feedback_steps=n, sampling_steps=2) for n in (1, 2))
    assert (once.codes[:, :4] != twice.codes[:, :4]).any()
    np.testing.assert_array_equal(twice.codes[..., :4, 20], CODES[..., :4, 20])


def test_one_run_takes_conditioning_codebooks_as_they_are(vampnet):
    found = vampnet.generate("c2f", CODES, noise=NOISE, sampling_steps=2)
    np.testing.assert_array_equal(found[:, :4], CODES[:, :4])
    along = np.ones((1, 40), bool)
    np.testing.assert_array_equal(vampnet.generate("c2f", CODES, along, noise=NOISE, sampling_steps=2), found)


def test_filters_change_what_is_made(vampnet):
    made = [
        vampnet.generate("coarse", CODES[:, :4], noise=NOISE, sampling_steps=2, **options)
        for options in (
            {},
            {"top_k": 3},
            {"typical_filtering": True, "typical_min_tokens": 1},
            {"top_p": 0.3},
        )
    ]
    assert len({codes.tobytes() for codes in made}) == 4


@pytest.mark.parametrize(
    ("message", "mask"),
    [
        (r"int64 \[40\]", MASK[0, 0]),
        (r"\[1, 14, 39\]", MASK[..., 1:]),
        (r"\[1, 13, 40\]", MASK[:, 1:]),
        (r"\[2, 14, 40\]", MASK.repeat(2, axis=0)),
        (r"\[1, 41\]", np.ones((1, 41), bool)),
        ("holds 2", with_value(MASK, (0, 3, 3), 2)),
        ("holds -1", with_value(MASK, (0, 3, 3), -1)),
        ("float32", MASK.astype(np.float32)),
        ("list", MASK.tolist()),
    ],
)
def test_masks_that_do_not_fit_are_refused(vampnet, message, mask):
    refuses(BadInputError, message, vampnet.vamp, CODES, mask, noise=NOISE)
    refuses(BadInputError, message, vampnet.generate, "c2f", CODES, mask, noise=NOISE)


@pytest.mark.parametrize(
    ("message", "codes"),
    [
        ("a code 65", with_value(CODES, (0, 3, 3), 65)),
        ("a code -1", with_value(CODES, (0, 13, 0), -1)),
        ("int32", CODES.astype(np.int32)),
        ("15 codebooks", np.zeros((1, 15, 40), np.int64)),
        (r"\[1, 14, 0\]", CODES[..., :0]),
        (r"\[14, 40\]", CODES[0]),
    ],
)
def test_codes_that_do_not_fit_are_refused(vampnet, message, codes):
    refuses(BadInputError, message, vampnet.vamp, codes, MASK, noise=NOISE)
    refuses(BadInputError, message, vampnet.generate, "c2f", codes, noise=NOISE)


def test_too_few_codebooks_are_refused(vampnet):
    refuses(BadInputError, "3 codebooks", vampnet.vamp, CODES[:, :3], MASK[:, :3], noise=NOISE)
    refuses(BadInputError, "3 codebooks", vampnet.generate, "coarse", CODES[:, :3], noise=NOISE)


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"feedback_steps": 0},
        {"time_stretch_factor": 1.5},
        {"sampling_steps": 0},
        {"temperature": float("nan")},
    ],
)
def test_options_that_cannot_be_meant_are_refused(vampnet, wrong):
    refuses(UsageError, next(iter(wrong)), vampnet.vamp, CODES, MASK, noise=NOISE, **wrong)


def test_a_batch_of_codes_has_its_own_size(vampnet):
    codes, mask = CODES.repeat(2, axis=0), MASK.repeat(2, axis=0)
    refuses(UsageError, "batch of 2", vampnet.vamp, codes, mask, noise=NOISE, batch_size=3)
    assert vampnet.vamp(codes, MASK, noise=NOISE, sampling_steps=1).codes.shape == codes.shape


@pytest.mark.parametrize("part", ["coarse", "c2f", "encoder", "decoder", "wavebeat"])
def test_a_bundle_that_lacks_a_part(copied, part):
    edit(copied, lambda content: content["models"].pop(part))
    found = VampNet(copied, threads=1)
    audio = np.ones((1, 1, 44100), np.float32)
    calls = {
        "coarse": lambda: found.vamp(CODES, MASK, noise=NOISE),
        "c2f": lambda: found.vamp(CODES, MASK, noise=NOISE),
        "encoder": lambda: found.encode(audio, 44100),
        "decoder": lambda: found.decode(CODES),
        "wavebeat": lambda: found.beat_mask(CODES, audio, 44100, noise=NOISE),
    }
    refuses(InputOutputError, f"has no {part}; add it", calls[part])


@pytest.mark.parametrize("part", ["coarse", "c2f", "encoder", "decoder", "wavebeat"])
@pytest.mark.parametrize("file", ["", ".data"])
def test_a_file_of_another_bundle(copied, part, file):
    """Of the same size, so that nothing but the hash tells."""
    path = copied / f"{part}.onnx{file}"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    found = VampNet(copied, threads=1)
    load = {"encoder": "codec", "decoder": "codec", "wavebeat": "beat_tracker"}.get(part, part)
    refuses(InputOutputError, f"{part}.onnx{file} is not the file", getattr, found, load)
    path.unlink()
    refuses(InputOutputError, f"{part}.onnx{file} cannot be read", getattr, found, load)


def test_hashes_may_be_left_unread(copied):
    edit(copied, lambda content: content["files"]["coarse.onnx"].update(sha256="0" * 64))
    refuses(InputOutputError, "not the file", lambda: VampNet(copied).coarse)
    assert VampNet(copied, check_hashes=False).coarse.n_codebooks == 4


@pytest.mark.parametrize("part", ["coarse", "c2f", "decoder"])
def test_parts_of_different_codecs(copied, part):
    def change(content):
        """The part's tables come from a second codec."""
        other = json.loads(json.dumps(next(c for c in content["checkpoints"] if c["file"] == "codec.pth")))
        other["file"] = "other.pth"
        for tensor in other["tensors"]:
            tensor["crc32"] = tensor["crc32"][::-1]
        content["checkpoints"].append(other)
        for row in content["models"][part]["initializers"]:
            row["from"] = [source.replace("codec.pth:", "other.pth:") for source in row["from"]]

    VampNet(copied)
    edit(copied, change)
    refuses(InputOutputError, f"{part} .*different codecs|and {part} .*different codecs", VampNet, copied)


@pytest.mark.parametrize("key", ["sample_rate", "hop", "checkpoints"])
def test_a_manifest_without_what_is_needed(copied, key):
    edit(copied, lambda content: content.pop(key))
    refuses(InputOutputError, "is damaged", VampNet, copied)


@pytest.mark.parametrize("key", ["files", "chunk_seconds"])
def test_a_manifest_that_is_incomplete_later(copied, key):
    edit(copied, lambda content: content.pop(key))
    refuses(InputOutputError, "is damaged", lambda: VampNet(copied).vamp(CODES, MASK, noise=NOISE))


def test_what_is_no_bundle(tmp_path):
    refuses(InputOutputError, "not a bundle", VampNet, tmp_path)
