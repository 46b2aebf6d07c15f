"""Codes of the converted encoder for new audio: those of the reference in float64, but for proven ties."""

from __future__ import annotations

import re

import numpy as np
import pytest

from ..codes import SIGNALS, Truth, second_best, signal
from ..common import OPSETS

NAMES = ("codec", "codec_odd")
LENGTHS = (2, 7, 769, 7919)
TABLE = "quantizer.quantizers.1.codebook.weight"


@pytest.fixture(scope="module")
def truth(workshop):
    """References by the names of golden codecs."""
    return {name: Truth(workshop.load(name)) for name in NAMES}


@pytest.fixture(scope="module")
def encode(workshop):
    """Codes by the converted encoder of a golden codec."""

    def run(name, audio):
        bundle = workshop.bundle(workshop.golden / f"{name}.pth")
        return workshop.session(bundle, "encoder").run(None, {"audio": audio})[0]

    return run


def lengths(model):
    hop = model.double.config.hop
    wanted = {1, hop - 1, hop, hop + 1, *LENGTHS}
    return sorted(n for n in wanted if model.double.config.frames(n) > 0)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("kind", SIGNALS)
def test_any_signal_at_any_length(encode, truth, name, kind):
    ties = 0
    for length in lengths(truth[name]):
        audio = signal(kind, length)
        ties += truth[name].check(audio, encode(name, audio))
    assert ties <= 1  # measured: 0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_batches_of_different_signals(encode, truth, name, rows):
    for length in (769, 4999):
        audio = np.concatenate([signal(kind, length) for kind in list(SIGNALS)[-rows:]])
        codes = encode(name, audio)
        truth[name].check(audio, codes)
        assert len({row.tobytes() for row in codes}) == rows


@pytest.mark.parametrize("opset", OPSETS)
def test_every_opset(workshop, truth, opset):
    audio = signal("noise", 7919)
    files = [workshop.golden / f"{name}.pth" for name in ("codec", "wavebeat")]
    session = workshop.session(workshop.bundle(*files, opset=opset), "encoder")
    truth["codec"].check(audio, session.run(None, {"audio": audio})[0])


@pytest.mark.parametrize("name", NAMES)
def test_a_wrong_code_is_called_real(encode, truth, name):
    audio = signal("noise", 7919)
    codes = encode(name, audio)
    other = second_best(truth[name], audio, codes)
    called = []
    for i in range(codes.shape[1]):
        wrong = codes.copy()
        wrong[:, i] = other[:, i]
        ties, real = truth[name].judge(audio, wrong)
        assert not (ties | real)[:, :i].any()
        assert (ties | real)[:, i].all()
        called.append(real[:, i])
    assert np.mean(called) >= 0.99
    place = np.argwhere(np.stack(called, 1))[-1]
    wrong = codes.copy()
    wrong[tuple(place)] = other[tuple(place)]
    with pytest.raises(AssertionError, match=re.escape(str(place.tolist()))):
        truth[name].check(audio, wrong)


def altered(workshop, change):
    """The golden codec with odd strides, with rows 4 and 7 of a codebook alike: its file and reference."""
    saved = workshop.load("codec_odd")
    table = saved["state_dict"][TABLE]
    table[7] = change(table[4])
    return workshop.save(saved, workshop.place() / "altered.pth"), Truth(saved)


@pytest.mark.parametrize(("change", "tied"), [(3e-7, True), (0.03, False)])
def test_only_what_float32_cannot_tell_is_a_tie(workshop, change, tied):
    path, truth = altered(workshop, lambda row: row * (1 + change * (row == row[0])))
    audio = signal("noise", 7919)
    codes = workshop.session(workshop.bundle(path), "encoder").run(None, {"audio": audio})[0]
    truth.check(audio, codes)
    either = np.isin(codes[:, 1], (4, 7))
    assert either.sum() >= 5
    swapped = codes.copy()
    swapped[:, 1][either] = 11 - codes[:, 1][either]
    (ties, _), (swapped_ties, real) = truth.judge(audio, codes), truth.judge(audio, swapped)
    assert np.array_equal((ties ^ swapped_ties)[:, 1], either & tied)
    assert np.array_equal(real[:, 1], either & (not tied))


def test_the_first_of_parallel_rows_wins(workshop):
    path, truth = altered(workshop, lambda row: 2 * row)
    audio = signal("noise", 7919)
    codes = workshop.session(workshop.bundle(path), "encoder").run(None, {"audio": audio})[0]
    truth.check(audio, codes)
    assert (codes[:, 1] == 4).any()
    assert not (codes[:, 1] == 7).any()


def test_another_model_is_told(workshop, encode):
    saved = workshop.load("codec_odd")
    saved["state_dict"]["encoder.block.0.bias"] += 0.05
    audio = signal("noise", 7919)
    assert Truth(saved).judge(audio, encode("codec_odd", audio)).real.sum() > 10
