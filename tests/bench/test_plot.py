"""The picture has a line for every contestant."""

from __future__ import annotations

import io
from pathlib import Path

import matplotlib.image
import pytest

from vampconv.bench.plot import draw, picture
from vampconv.bench.result import RIVALS, Bench, Column, Point


@pytest.fixture
def found():
    columns = [Column(label, Path(label), label, "portable") for label in ("fp32", "int8")]
    who = [*((rival, "") for rival in RIVALS), *(("ours", column.label) for column in columns)]
    lengths = [
        Point(part, *key, x, x * (i + 1))
        for part in ("coarse", "decoder")
        for i, key in enumerate(who)
        for x in (1.0, 10.0)
    ]
    sizes = [Point("coarse", *key, x, x / 1e8) for key in who for x in (9e7, 3.4e8)]
    environment = {"processor": "a <fast> one", "threads": 2, "onnxruntime": "1"}
    return Bench(environment, "full", 3, columns, [], lengths, sizes)


def test_a_line_for_each(found):
    axes = picture(found, "").axes
    assert [axis.get_title(loc="left") for axis in axes] == [
        "coarse: time against length",
        "decoder: time against length",
        "coarse: time against size",
    ]
    drawn = [[line.get_label() for line in axis.get_lines()] for axis in axes]
    assert drawn[0][:5] == drawn[2]
    assert drawn[0][5:] == ["real time"]
    assert len(set(drawn[2])) == len({line.get_color() for line in axes[2].get_lines()}) == 5
    assert drawn[2][3:] == ["vampconv, fp32", "vampconv, int8"]


@pytest.mark.parametrize("name", ["b.png", "b.svg", "b.html"])
def test_kinds_of_files(found, name):
    content = draw(found, Path(name))
    if name == "b.png":
        assert matplotlib.image.imread(io.BytesIO(content)).shape[2] == 4
    else:
        assert {"b.svg": "<svg", "b.html": "a &lt;fast&gt; one"}[name] in content.decode()


def test_nothing_to_draw(found):
    """Where all failed: an empty figure, not an error."""
    draw(Bench(found.environment, "own", 1, found.columns, []), Path("b.png"))
