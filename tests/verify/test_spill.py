"""What is more than should be in memory is mapped from disk, and is the same."""

from __future__ import annotations

import errno

import pytest
import torch

from tests.verify.test_verify import numbers, run
from vampconv.verify import spill
from vampconv.verify.result import Verdict
from vampconv.verify.spill import Spill
from vampconv.verify.truth import recording


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Every tensor is worth a file."""
    monkeypatch.setattr(spill, "LEAST", 0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.int64, torch.bool], ids=str)
def test_a_tensor_beyond_the_limit_is_the_same_but_on_disk(dtype):
    kept = Spill(limit=0)
    tensor = torch.arange(60).reshape(3, 4, 5).to(dtype).permute(2, 0, 1)
    found = kept.keep(tensor)
    assert kept.spilled == 1
    assert found.data_ptr() != tensor.data_ptr()
    assert found.dtype == dtype
    assert torch.equal(found, tensor)


def test_what_fits_stays():
    kept = Spill(limit=100)
    first, second = torch.zeros(10, dtype=torch.float64), torch.zeros(10, dtype=torch.float64)
    assert kept.keep(first) is first
    view = first[2:]
    assert kept.keep(view) is view  # its memory is held anyway
    assert kept.keep(second) is not second
    assert kept.spilled == 1


def test_a_full_disk_leaves_tensors_in_memory(monkeypatch):
    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(spill.tempfile, "TemporaryFile", full)
    kept, tensor = Spill(limit=0), torch.ones(3)
    assert kept.keep(tensor) is tensor
    assert kept.spilled == 0


def test_names_of_one_tensor_stay_names_of_one(monkeypatch):
    monkeypatch.setattr(spill, "LIMIT", 0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.ReLU())
    with recording(model) as record:
        model(torch.ones(2, 4))
    assert record.spill.spilled == 3
    assert record.values["0"] is record.values[">1"]
    assert torch.equal(record.values["1"], record.values["0"].relu())


def test_a_verification_gives_the_same_numbers(workshop, monkeypatch):
    bundle = workshop.whole("coarse", "codec")
    options = {"layerwise": True, "lengths": [9], "batches": [1]}
    plain = run(bundle, **options)
    monkeypatch.setattr(spill, "LIMIT", 0)
    spilled = run(bundle, **options)
    assert spilled.verdict is plain.verdict is Verdict.PASS
    assert [numbers(part) for part in spilled.parts] == [numbers(part) for part in plain.parts]
