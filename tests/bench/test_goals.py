"""Goals are judged at full size only, and what is missed is told with by how much."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from vampconv.bench.checkpoints import Size
from vampconv.bench.goals import judge
from vampconv.bench.making import full_size
from vampconv.bench.process import Run
from vampconv.bench.result import Bench, Column, Contest, Entry
from vampconv.bench.turns import Outcome
from vampconv.runtime.bundle import Bundle


@pytest.fixture
def found():
    """A coarse model that takes 0.9 of the exporter's time and 1.05 of its products'; its bundle is gone."""

    def entry(who, label, seconds, peak=100):
        return Entry(who, label, Outcome([Run(s, s, peak) for s in seconds]))

    coarse = Contest(
        "coarse",
        10.0,
        [
            entry("exporter", "", (10, 20, 30)),
            entry("ours", "fp32", (9, 18, 27)),
            entry("floor", "fp32", (9 / 1.05, 18 / 1.05, 27 / 1.05)),
        ],
    )
    convert = Contest(
        "convert", None, [entry("ours", "fp32", (4, 6, 11), 600_000_000), entry("half", "fp32", (3,), 590e6)]
    )
    columns = [Column("fp32", Path("gone"), "fp32", "portable", frozenset({"coarse"}))]
    return Bench({}, "full", 3, columns, [convert, coarse])


def test_what_is_reached_and_what_is_missed(found):
    told = {str(j.goal): (round(j.measured, 3), j.reached, str(j)) for j in judge(found)}
    assert told == {
        "time ≤ 5 s": (6, False, "missed by 20.0%"),
        "peak memory ≤ 500 MB": (600e6, False, "missed by 20.0%"),
        "peak memory ≤ 1.1 × that of half the layers": (1.017, True, "reached"),
        "time ≤ 0.85 × the exporter's (fp32)": (0.9, False, "missed by 5.9%"),
        "time ≤ 1.1 × its products alone": (1.05, True, "reached"),
    }


def test_int8_has_a_goal_of_its_own(found):
    columns = [replace(found.columns[0], precision="int8")]
    told = [(j.goal.limit, str(j)) for j in judge(replace(found, columns=columns))]
    assert told == [(500e6, "missed by 20.0%"), (0.36, "missed 2.5-fold")]


def test_nothing_is_judged_of_other_sizes_and_lengths(found):
    shorter = replace(found, contests=[replace(c, seconds=3.0) for c in found.contests])
    assert judge(shorter) == []
    smaller = replace(found, columns=[replace(found.columns[0], full_size=frozenset({"encoder"}))])
    assert judge(smaller) == []


def test_which_models_are_of_full_size(workshop, tmp_path):
    assert full_size(Bundle(workshop.whole("coarse", "c2f", "codec"))) == frozenset()
    size = Size(layers=20, width=16)
    coarse, _ = size.transformers()
    codec = replace(size.codec(), encoder_dim=64)
    assert (coarse.n_layers, coarse.embedding_dim, codec.decoder_dim) == (20, 80, 32)
    manifest = {
        "format": 1,
        "models": {
            "coarse": {"architecture": Size().transformers()[0].to_kwargs()},
            "c2f": {"architecture": coarse.to_kwargs()},
            "encoder": {"architecture": codec.to_kwargs()},
        },
    }
    (tmp_path / "vampconv.json").write_text(json.dumps(manifest))
    assert full_size(Bundle(tmp_path)) == {"coarse", "encoder"}


def test_a_rival_that_failed_leaves_its_goals_out(found):
    convert, coarse = found.contests
    failed = [Entry("exporter", "", Outcome(failure="no")), *coarse.entries[1:]]
    left = judge(replace(found, contests=[convert, replace(coarse, entries=failed)]))
    assert [j.goal.over for j in left] == ["", "", "half", "floor"]
