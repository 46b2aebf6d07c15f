"""Errors of the float32 reference are the same whether its values are kept, or judged when they are made."""

from __future__ import annotations

import pytest
import torch

from vampconv.verify import levels
from vampconv.verify.levels import Levels
from vampconv.verify.result import Case
from vampconv.verify.side import Reference

from .conftest import MODELS


@pytest.mark.parametrize("name", MODELS)
def test_values_need_not_be_kept(golden, name):
    verifier = golden.verifier(name)
    case = Case(1, 13, 0)
    given = verifier.anchors, verifier.subject.feeds(case), []
    kept = verifier.rival.errors(*given, verifier.truth.known)
    assert len(kept) > 20
    assert any(kept.values())
    verifier.rival.reference = Reference(verifier.subject, torch.float32)
    inputs = given[1].keys()
    again = verifier.rival.errors(*given, verifier.truth.known)
    assert again == {name: error for name, error in kept.items() if name not in inputs}
    assert not verifier.rival.known
    assert len({id(x) for x in verifier.rival.record.values.values()}) <= 2
    verifier.rival.recall()
    assert len(verifier.rival.known) >= len(kept)


def test_what_has_no_truth_or_another_shape_has_no_error():
    found = Levels(
        {"a": torch.ones(2).double(), "b": torch.ones(3).double(), "c": torch.ones(2, dtype=torch.int64)}
    )
    for name in "abcd":
        found.see(name, torch.full((2,), 1.5))
    assert found.taken() == {"a": 0.5}


def test_the_last_value_of_a_name_counts():
    found = Levels({"a": torch.ones(2).double()})
    found.see("a", torch.full((2,), 1.5))
    found.see("a", torch.ones(2))
    assert found.taken() == {"a": 0.0}


def test_few_values_wait(monkeypatch):
    monkeypatch.setattr(levels, "WAITING", 100)
    found = Levels({str(i): torch.zeros(8).double() for i in range(50)})
    for i in range(50):
        found.see(str(i), torch.full((8,), float(i)))
        assert found._size <= 100
    assert [found.taken()[str(i)] for i in range(50)] == pytest.approx([i * 8**0.5 for i in range(50)])
