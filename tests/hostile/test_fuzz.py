"""A short run of the fuzzer; ``python -m vampconv.bench.fuzz`` makes long ones."""

from __future__ import annotations

import random

import pytest

from vampconv.bench.fuzz import fuzz
from vampconv.bench.fuzz.raw import RAW
from vampconv.bench.fuzz.seeds import seeds
from vampconv.checkpoint.machine import _Machine
from vampconv.checkpoint.record import Record


def test_no_mutation_escapes():
    found = fuzz(4000, seed=7)
    assert found.problems == []
    assert found.count == 4000
    assert 100 < found.accepted < 1000
    assert len(found.mutations) > 12


def test_one_number_makes_one_file():
    def contents(**options):
        return [fuzz(3, seed=1, start=start, **options).mutations for start in (0, 500)]

    assert contents() == contents()
    draw = [random.Random(5) for _ in range(2)]
    data = [seed.content for seed in seeds()]
    assert RAW[0](draw[0], data[0], data) == RAW[0](draw[1], data[0], data)


@pytest.mark.parametrize("error", [KeyError, RecursionError])
def test_an_escape_is_found(monkeypatch, tmp_path, error):
    plain = _Machine.recall

    def recall(self, index):
        if index not in self.memo:
            raise error("planted")
        plain(self, index)

    monkeypatch.setattr(_Machine, "recall", recall)
    found = fuzz(600, seed=0, keep=tmp_path)
    assert found.problems
    assert all(error.__name__ in problem for problem in found.problems)
    assert len(list(tmp_path.iterdir())) == len(found.problems)


def test_a_checksum_that_is_not_compared_is_found(monkeypatch):
    monkeypatch.setattr(Record, "_compare", lambda self, *_: setattr(self, "_checked", True))
    assert any("read as something else" in problem for problem in fuzz(1500, seed=0).problems)
