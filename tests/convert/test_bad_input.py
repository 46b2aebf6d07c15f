"""Every bad input: one line on stderr, nothing on stdout, the right exit code, nothing left behind."""

from __future__ import annotations

import io
import json
import math
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from vampconv.reference.random_checkpoint import (
    checkpoint,
    random_codec_tables,
    random_fine_tune,
    random_state_dict,
)

from ..common import LINE


@pytest.fixture
def refused(vampconv, tree, tmp_path, monkeypatch):
    """Runs a conversion that must fail, in a directory that must stay as it is; returns the message."""
    monkeypatch.chdir(tmp_path)

    def check(code, *arguments, dry=True):
        before = tree(tmp_path)
        for extra in ((), ("--dry-run",), ("--json",)) if dry else ((),):
            ran = vampconv("convert", *arguments, *extra)
            assert LINE.fullmatch(ran.err), ran.err
            assert ran.out == ""
            assert ran.code == code == int(LINE.fullmatch(ran.err)[1]), ran.err
            assert tree(tmp_path) == before
        return ran.err

    return check


@pytest.fixture
def pair(workshop, tmp_path):
    """A tiny transformer with its codec, and an earlier bundle beside."""
    workshop.model(tmp_path)
    workshop.codec(tmp_path)
    return tmp_path


def lfs(data):
    return b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize %d\n" % len(data)


def npz(_):
    buffer = io.BytesIO()
    np.savez(buffer, codes=np.arange(3))
    return buffer.getvalue()


FILES = {
    "empty": (lambda _: b"", "an empty file"),
    "text": (lambda _: b"hello, world\n" * 20, "a text file"),
    "web page": (lambda _: b"<!DOCTYPE html><html><body>Not found</body></html>", "a web page"),
    "Git LFS pointer": (lfs, "a Git LFS pointer.*git lfs pull"),
    "zero bytes": (lambda data: bytes(len(data)), "filled with zero bytes"),
    "npz": (npz, "npz"),
    "gzip": (lambda data: b"\x1f\x8b" + data, "gzip"),
    "one byte": (lambda data: data[:1], "."),
    "half": (lambda data: data[: len(data) // 2], "cut short"),
    "without its last byte": (lambda data: data[:-1], "."),
    "without its first byte": (lambda data: data[1:], "."),
    "something after it": (lambda data: data + b"x" * 70_000, "."),
    "random": (lambda data: random.Random(0).randbytes(len(data)), "."),
}


@pytest.mark.parametrize("which", ["coarse.pth", "codec.pth", "tune.pth"])
@pytest.mark.parametrize("name", FILES)
def test_files_that_are_no_checkpoints(refused, workshop, pair, name, which):
    workshop.save(random_fine_tune(workshop.tiny, 2), pair / "tune.pth")
    make, told = FILES[name]
    (pair / which).write_bytes(make((pair / which).read_bytes()))
    message = refused(3, "coarse.pth", "--codec", "codec.pth", "--lora", "tune.pth", "-o", "out")
    assert re.search(told, message)
    assert which in message


def test_truncated_anywhere(refused, pair):
    data = (pair / "coarse.pth").read_bytes()
    for size in random.Random(1).sample(range(1, len(data)), 25):
        (pair / "coarse.pth").write_bytes(data[:size])
        refused(3, "coarse.pth", "codec.pth", "-o", "out", dry=False)


@pytest.mark.parametrize("which", ["coarse.pth", "codec.pth"])
def test_any_flipped_bit_is_told_or_harmless(vampconv, pair, tree, monkeypatch, which):
    """In data, pickle, local headers and directory; a flip is refused, or changes no byte of the models."""
    monkeypatch.chdir(pair)
    good = (pair / which).read_bytes()
    assert vampconv("convert", "coarse.pth", "codec.pth", "-o", "out").code == 0
    wanted = {n: c for n, c in tree(pair / "out").items() if n != "vampconv.json"}
    shutil.rmtree(pair / "out")
    directory = good.rindex(b"PK\x01\x02", 0, good.index(b"PK\x01\x02") + 4)
    chosen = random.Random(2)
    places = [chosen.randrange(directory) for _ in range(30)]
    places += [chosen.randrange(directory, len(good)) for _ in range(30)]
    before = tree(pair)
    told = 0
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << chosen.randrange(8)
        (pair / which).write_bytes(bad)
        ran = vampconv("convert", "coarse.pth", "codec.pth", "-o", "out")
        if ran.code:
            told += 1
            assert ran.code in (3, 4, 8), (place, ran.err)
            assert LINE.fullmatch(ran.err), (place, ran.err)
            assert ran.out == ""
        else:
            assert {n: c for n, c in tree(pair / "out").items() if n != "vampconv.json"} == wanted, place
            shutil.rmtree(pair / "out")
        (pair / which).write_bytes(good)
        assert tree(pair) == before
    assert told > 24


def test_a_damaged_tensor_that_no_model_needs(refused, golden_copy):
    place = golden_copy("coarse", "codec")
    data = bytearray((place / "codec.pth").read_bytes())
    with zipfile.ZipFile(place / "codec.pth") as archive:
        biggest = max(archive.infolist(), key=lambda i: i.file_size)
    data[biggest.header_offset + 200] ^= 1
    (place / "codec.pth").write_bytes(data)
    message = refused(3, place / "coarse.pth", place / "codec.pth", "-o", "out")
    assert "codec.pth" in message
    assert "CRC" in message


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_every_tensor_with_a_value_that_is_not_finite(refused, workshop, pair, value):
    state = random_state_dict(workshop.tiny, 0)
    for name in state:
        bad = {n: t.clone() for n, t in state.items()}
        bad[name].view(-1)[-1] = value
        workshop.save(checkpoint(bad, workshop.tiny.to_kwargs()), pair / "coarse.pth")
        message = refused(3, "coarse.pth", "codec.pth", "-o", "out", dry=False)
        assert f"tensor {name} holds 1 non-finite" in message
        if math.isnan(value):
            assert refused(3, "coarse.pth", "codec.pth", "--dry-run", dry=False) == message


def test_codec_tables_and_fine_tunes_that_are_not_finite(refused, workshop, pair):
    tables = random_codec_tables(2, 7, 3, 0)
    tables["quantizer.quantizers.1.codebook.weight"][0, 0] = float("nan")
    workshop.save(tables, pair / "codec.pth")
    assert "quantizers.1.codebook.weight holds 1 non-finite" in refused(3, "coarse.pth", "codec.pth")
    workshop.codec(pair)
    tune = random_fine_tune(workshop.tiny, 0)
    tune["transformer.layers.0.feed_forward.w_2.lora_A"][:2] = float("inf")
    workshop.save(tune, pair / "tune.pth")
    assert "holds 24 non-finite" in refused(3, "coarse.pth", "--lora", "tune.pth")


def test_paths(refused, pair):
    (pair / "empty").mkdir()
    (pair / "loop.pth").symlink_to("loop.pth")
    (pair / "gone.pth").symlink_to("nothing.pth")
    os.mkfifo(pair / "pipe.pth")
    assert "does not exist" in refused(6, "nothing.pth")
    assert "does not exist" in refused(6, "gone.pth")
    refused(6, "loop.pth")
    assert "not a regular file" in refused(6, "pipe.pth")
    refused(6, "/dev/null")
    assert "holds no checkpoints" in refused(3, "empty")
    refused(6, "coarse.pth/x")
    refused(6, "x" * 300)
    refused(6, "coarse.pth", "--codec", "nothing.pth")
    refused(6, "coarse.pth", "--codec", "empty")
    refused(6, "coarse.pth", "--lora", "nothing.pth")
    refused(6, "coarse.pth", "nothing.pth")
    message = refused(6, "evil\n\x1b[31mvampconv: error[0]: name.pth")
    assert "\x1b" not in message


WITHOUT_PRIVILEGE = """
import ctypes, os, sys
for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, "-m", "vampconv", *sys.argv[1:]])
"""


def test_unreadable_files(pair):
    """Also for root, who may otherwise read everything."""
    (pair / "coarse.pth").chmod(0)
    for arguments in (["coarse.pth"], ["."], ["coarse.pth", "--dry-run"]):
        command = [sys.executable, "-c", WITHOUT_PRIVILEGE, "convert", *arguments, "-o", "out"]
        run = subprocess.run(command, capture_output=True, text=True, cwd=pair, check=False)
        assert run.returncode == 6, run.stderr
        assert LINE.fullmatch(run.stderr), run.stderr
        assert "may not be read" in run.stderr
    assert {p.name for p in pair.iterdir()} == {"codec.pth", "coarse.pth"}


def test_a_damaged_codec_beside_is_told(refused, pair):
    whole = (pair / "codec.pth").read_bytes()
    (pair / "codec.pth").write_bytes(whole[: len(whole) // 2])
    message = refused(2, "coarse.pth")
    assert "no codec lies beside it (though codec.pth" in message


def test_a_codec_named_twice_is_one(vampconv, pair):
    assert vampconv("convert", pair, "--codec", pair / "codec.pth", "-o", pair / "twice").code == 0


def test_no_codec(refused, workshop, pair):
    (pair / "codec.pth").unlink()
    (pair / "README.md").write_text("nothing")
    message = refused(2, "coarse.pth")
    assert "no codec lies beside it;" in message
    assert "--codec" in message
    workshop.save(checkpoint(random_codec_tables(2, 9, 3, 0), {}), pair / "other codec.pth")
    assert "no codec lies beside it" in refused(2, "coarse.pth")


def test_several_codecs_beside(refused, workshop, pair):
    workshop.codec(pair, name="second.pth", more=1)
    message = refused(2, "coarse.pth")
    assert "codec.pth" in message
    assert "second.pth" in message
    message = refused(2, "coarse.pth", "codec.pth", "second.pth")
    assert "codec.pth" in message
    assert "second.pth" in message
    refused(2, "coarse.pth", "codec.pth", "--codec", "second.pth")


def test_codecs_that_do_not_fit(refused, workshop, pair):
    for tables, told in (
        (random_codec_tables(1, 7, 3, 0), "has 1 codebooks, but coarse.pth uses 2"),
        (random_codec_tables(2, 7, 4, 0), r"is [7, 4], but coarse.pth needs [7, 3]"),
        (random_codec_tables(2, 14, 3, 0), r"is [14, 3], but coarse.pth needs [7, 3]"),
        ({n: t.int() for n, t in random_codec_tables(2, 7, 3, 0).items()}, "should be floating-point"),
        ({n: t[0] for n, t in random_codec_tables(2, 7, 3, 0).items()}, "codebook.weight is [3]"),
    ):
        workshop.save(tables, pair / "codec.pth")
        assert told in refused(3, "coarse.pth", "codec.pth")
        assert told in refused(3, "coarse.pth", "--codec", "codec.pth")


def test_wrong_kinds(refused, workshop, pair):
    workshop.save(random_fine_tune(workshop.tiny, 2), pair / "tune.pth")
    shutil.copy(workshop.golden / "wavebeat.pth", pair)
    workshop.save({"fc.weight": torch.ones(2)}, pair / "resnet.pth")
    assert "give it by --lora" in refused(2, "coarse.pth", "tune.pth")
    assert "no known model (it holds fc.weight)" in refused(4, "coarse.pth", "resnet.pth")
    assert "only a codec's tables" in refused(4, "codec.pth")
    assert "two models of one kind (WaveBeat beat tracker)" in refused(
        2, "coarse.pth", "wavebeat.pth", "wavebeat.pth"
    )
    assert "--codec: wavebeat.pth is a WaveBeat" in refused(2, "coarse.pth", "--codec", "wavebeat.pth")
    assert "--codec: coarse.pth is a VampNet" in refused(2, "coarse.pth", "--codec", "coarse.pth")
    assert "--codec: tune.pth is a LoRA" in refused(2, "coarse.pth", "--codec", "tune.pth")
    assert "--lora: codec.pth is a LAC" in refused(2, "coarse.pth", "--lora", "codec.pth")
    refused(4, "coarse.pth", "--codec", "resnet.pth")


def test_fine_tunes_that_do_not_fit(refused, workshop, pair):
    shutil.copy(workshop.golden / "coarse_lora.pth", pair)
    message = refused(3, "coarse.pth", "--lora", "coarse_lora.pth")
    assert "coarse_lora.pth fits no model here" in message
    for i in range(2):
        workshop.save(random_fine_tune(workshop.tiny, i), pair / f"tune{i}.pth")
    assert "two fine-tunes fit coarse" in refused(
        2, "coarse.pth", "--lora", "tune0.pth", "--lora", "tune1.pth"
    )


def test_two_models_of_one_kind(refused, workshop, pair):
    workshop.model(pair, name="other.pth", seed=1)
    for arguments in (("coarse.pth", "other.pth"), (".",), (".", "coarse.pth"), ("coarse.pth", "coarse.pth")):
        message = (
            refused(2, *arguments, "--codec", "codec.pth") if "." not in arguments else refused(2, *arguments)
        )
        assert "two coarse models" in message
        assert "coarse.pth and" in message


def test_a_directory_with_a_damaged_checkpoint(refused, workshop, pair):
    shutil.copy(workshop.golden / "c2f.pth", pair / "z.pth")
    data = (pair / "z.pth").read_bytes()
    (pair / "z.pth").write_bytes(data[: len(data) // 2])
    assert "z.pth" in refused(3, ".")
    bad = bytearray(data)
    bad[len(data) // 2] ^= 4
    (pair / "z.pth").write_bytes(bad)
    refused(3, ".")


def test_outputs_that_stand_in_the_way(refused, vampconv, pair):
    assert vampconv("convert", "coarse.pth", "-o", "out").code == 0
    assert "--force" in refused(6, "coarse.pth", "-o", "out")
    (pair / "out" / "mine.txt").write_text("mine")
    for option in ("--force", "--add"):
        assert "mine.txt" in refused(6, "coarse.pth", "-o", "out", option)
    (pair / "full").mkdir()
    (pair / "full" / "x").write_text("x")
    refused(6, "coarse.pth", "-o", "full")
    refused(6, "coarse.pth", "-o", "full", "--force")
    refused(6, "coarse.pth", "-o", "codec.pth")
    refused(6, "coarse.pth", "-o", "codec.pth", "--force")
    refused(6, "coarse.pth", "-o", "codec.pth/below")
    refused(6, "coarse.pth", "-o", ".", "--force")
    refused(6, "coarse.pth", "-o", "x" * 300)


def test_an_earlier_bundle_survives_every_failure(refused, vampconv, workshop, pair):
    assert vampconv("convert", "coarse.pth", "-o", "out").code == 0
    state = random_state_dict(workshop.tiny, 0)
    state["transformer.norm.weight"][0] = float("nan")
    workshop.save(checkpoint(state, workshop.tiny.to_kwargs()), pair / "nan.pth")
    data = (pair / "coarse.pth").read_bytes()
    (pair / "half.pth").write_bytes(data[: len(data) // 2])
    for option in ("--force", "--add"):
        refused(3, "nan.pth", "codec.pth", "-o", "out", option)
        refused(3, "half.pth", "codec.pth", "-o", "out", option)
        refused(2, "coarse.pth", "nan.pth", "codec.pth", "-o", "out", option)
        refused(7, "coarse.pth", "-o", "out", option, "--disable", "MergeLoRA")
        refused(2, "coarse.pth", "-o", "out", option, "--disable", "NoSuchRule")


@pytest.mark.usefixtures("pair")
def test_a_full_disk(refused, vampconv, monkeypatch):
    """The data file cannot be written in full."""
    assert vampconv("convert", "coarse.pth", "-o", "out").code == 0
    real = os.fsync

    def full(descriptor):
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".data":
            raise OSError(28, os.strerror(28))
        return real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    message = refused(6, "coarse.pth", "-o", "new", dry=False)
    assert "No space left" in message
    refused(6, "coarse.pth", "-o", "out", "--force", dry=False)


@pytest.mark.usefixtures("pair")
def test_a_disk_that_fails_while_it_flushes(refused, monkeypatch):
    def fail(_):
        raise OSError(5, os.strerror(5))

    monkeypatch.setattr("vampconv.emit.data_file.FLUSH", 1000)
    monkeypatch.setattr(os, "fdatasync", fail)
    assert "Input/output error" in refused(6, "coarse.pth", "-o", "new", dry=False)


def test_files_that_may_not_grow(pair):
    """A limit on the size of files takes the place of a small disk: half of the data file is written."""
    before = sorted(p.name for p in pair.iterdir())
    command = ["sh", "-c", 'ulimit -f 20; exec "$@"', "sh", sys.executable, "-m", "vampconv", "convert"]
    run = subprocess.run([*command, "coarse.pth"], capture_output=True, text=True, cwd=pair, check=False)
    assert run.returncode == 6
    assert LINE.fullmatch(run.stderr), run.stderr
    assert "File too large" in run.stderr
    assert sorted(p.name for p in pair.iterdir()) == before


def test_a_model_that_contradicts_its_metadata(refused, workshop, pair):
    state, kwargs = random_state_dict(workshop.tiny, 0), workshop.tiny.to_kwargs()
    for code, change, told in (
        (3, {"n_layers": 2}, "n_layers=2"),
        (3, {"n_heads": 3}, "n_heads=3"),
        (3, {"vocab_size": 14}, "n_conditioning_codebooks=0"),
        (3, {"vocab_size": 5}, "14 rows, not 5"),
        (4, {"noise_mode": "noise"}, "noise_mode='noise'"),
        (4, {"flash_attn": True}, "flash_attn=True"),
    ):
        workshop.save(checkpoint(state, kwargs | change), pair / "coarse.pth")
        assert re.search(told, refused(code, "coarse.pth", "codec.pth"))
    workshop.save(checkpoint(state | {"mystery.weight": torch.ones(2)}, kwargs), pair / "coarse.pth")
    assert "mystery.weight" in refused(4, "coarse.pth", "codec.pth")
    del state["transformer.norm.weight"]
    workshop.save(checkpoint(state, kwargs), pair / "coarse.pth")
    assert "transformer.norm.weight" in refused(3, "coarse.pth", "codec.pth")


def test_safetensors_that_are_damaged(refused, workshop, pair):
    from safetensors.torch import save_file

    save_file(random_state_dict(workshop.tiny, 0), pair / "model.safetensors")
    good = (pair / "model.safetensors").read_bytes()
    (length,) = struct.unpack("<Q", good[:8])
    header = json.loads(good[8 : 8 + length])
    assert header
    for bad in (
        good[:-1],
        good + b"x",
        good[: 8 + length // 2],
        good[:8] + b"{" * length + good[8 + length :],
    ):
        (pair / "model.safetensors").write_bytes(bad)
        assert "model.safetensors" in refused(3, "model.safetensors", "codec.pth")
