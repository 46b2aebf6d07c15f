"""Pictures show the tokens, the mask and both spectrograms."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest

from vampconv.errors import UsageError
from vampconv.play.plot import Scene, draw, picture, require_plotting
from vampconv.play.result import Output
from vampconv.play.spectrogram import band_of, spectrogram
from vampconv.play.variations import Variation
from vampconv.play.writing import Take
from vampconv.runtime.audio.levels import LevelMeter
from vampconv.runtime.vamping import Vamped

RATE, HOP, TIME, CODEBOOKS = 44100, 768, 60, 4


def tone(hertz):
    t = np.arange(TIME * HOP) / RATE
    return (0.5 * np.sin(2 * np.pi * hertz * t)).astype(np.float32)


def scene(file="out <1> $x$.wav", missing=0):
    random = np.random.default_rng(0)
    before = random.integers(0, 64, (1, CODEBOOKS, TIME))
    kept = random.random(before.shape) < 0.4
    codes = np.where(kept, before, random.integers(0, 64, before.shape))
    before[:, CODEBOOKS - missing :] = -1
    take = Take(0, Variation(7, ~kept, Vamped(codes, codes)), codes, before, kept, ~kept[0])
    meter = LevelMeter(RATE, 1)
    meter.add(tone(1000)[None])
    output = Output(Path(file), 7, meter.levels(), float(kept.mean()), 0.5)
    return Scene(tone(300), tone(4000), take, RATE, HOP, "in.wav: <2 s>", output)


def shown(axis):
    (image,) = axis.get_images()
    return np.asarray(image.get_array())


def test_what_is_shown():
    drawn = scene()
    axes = picture(drawn).axes[:5]
    names = [axis.get_title(loc="left") for axis in axes]
    assert names[:3] == ["before", "tokens before", "mask"]
    assert names[3].startswith("tokens after")
    assert names[4] == "after"
    for axis, hertz in ((axes[0], 300), (axes[4], 4000)):
        loudest = shown(axis).mean(axis=1).argmax()
        assert abs(loudest - band_of(hertz, RATE)) <= 2
    mask = shown(axes[2])
    kept = drawn.take.kept[0]
    assert mask.shape[:2] == kept.shape
    colours = {tuple(mask[place]) for place in np.argwhere(kept).tolist() for place in [tuple(place)]}
    others = {tuple(mask[place]) for place in np.argwhere(~kept).tolist() for place in [tuple(place)]}
    assert len(colours) == len(others) == 1
    assert colours != others
    for axis, codes in ((axes[1], drawn.take.before[0]), (axes[3], drawn.take.codes[0])):
        tokens = shown(axis)
        assert tokens.shape == (CODEBOOKS, TIME, 3)
        same = codes[0, :, None] == codes[0]
        equal = (tokens[0, :, None] == tokens[0]).all(-1)
        if axis is axes[1]:
            np.testing.assert_array_equal(equal, same)
        assert not equal[~same].any()
    ends = axes[4].get_xlim()
    assert ends == (0, pytest.approx(TIME * HOP / RATE))
    legend = " ".join(text.get_text() for text in axes[2].get_legend().get_texts())
    assert f"kept, {kept.mean():.1%}" in legend


def test_codebooks_that_there_were_none_of_are_white():
    tokens = shown(picture(scene(missing=1)).axes[1])
    assert (tokens[-1] == 1).all()
    assert not (tokens[:-1] == 1).all(axis=-1).any()


def test_a_png():
    image = matplotlib.image.imread(io.BytesIO(draw(scene(), Path("P.PNG"))))
    assert image.shape[0] > 800
    assert image.shape[1] == 1800
    assert len(np.unique(image.reshape(-1, image.shape[-1]), axis=0)) > 500


def test_a_page_needs_no_other_file():
    content = draw(scene(), Path("p.html")).decode()
    assert "http" not in content
    assert "out &lt;1&gt; $x$.wav" in content
    assert "in.wav: &lt;2 s&gt;" in content
    data = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", content)[1])
    assert matplotlib.image.imread(io.BytesIO(data)).shape[1] == 1800


def test_an_svg_is_the_same_each_time():
    first, second = (draw(scene(), Path("p.svg")) for _ in range(2))
    assert first.startswith(b"<?xml")
    assert b"<dc:date>" not in first
    assert len(first) == len(second)


@pytest.mark.parametrize("name", ["p.pdf", "p", "png"])
def test_other_kinds_are_refused(name):
    with pytest.raises(UsageError, match="names no kind of picture"):
        require_plotting(Path(name))


@pytest.mark.parametrize("samples", [1, 100, 2048, 50_000, 2_000_000])
def test_spectrograms_of_any_length(samples):
    t = np.arange(samples) / RATE
    levels = spectrogram(np.sin(2 * np.pi * 2000 * t).astype(np.float32), RATE)
    assert 1 <= levels.shape[1] <= 1200
    assert np.isfinite(levels).all()
    if samples > 4096:
        assert abs(int(levels[:, levels.shape[1] // 2].argmax()) - band_of(2000, RATE)) <= 1


def test_silence_is_at_the_bottom():
    assert (spectrogram(np.zeros(5000, np.float32), RATE) == -100).all()
