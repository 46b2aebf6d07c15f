"""Damage in any place: the same reading or our error, never another value or another exception."""

from __future__ import annotations

import concurrent.futures
import os
import random
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from vampconv.bench.fuzz.flips import every_bit
from vampconv.bench.fuzz.seeds import seeds
from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, InputOutputError, VampconvError

from ..common import GOLDEN
from .helpers import bits, everything, saved

TINY = {
    "state_dict": {"w": torch.arange(4.0).reshape(2, 2).t(), "n": torch.tensor(3), "e": torch.empty(0)},
    "metadata": {"kwargs": {"n_layers": 2, "f": np.float64(0.5)}},
}


def flip(path, data, position, bit):
    torn = bytearray(data)
    torn[position] ^= 1 << bit
    path.write_bytes(torn)


def reading(path):
    try:
        return everything(path)
    except VampconvError as error:
        return None if "\n" not in error.line() else error


def test_a_bit_of_every_byte_of_a_tiny_checkpoint():
    """One of the eight, drawn; ``python -m vampconv.bench.fuzz --bits`` flips all of them."""
    size, draw = len(seeds()[0].content), random.Random(0)
    found = every_bit(bits=[(place, draw.randrange(8)) for place in range(size)])
    assert found.problems == []
    assert found.count == size > 1500
    assert found.count - found.accepted > 1000


def test_every_byte_of_a_golden_checkpoint(tmp_path):
    path = tmp_path / "a.pth"
    data = (GOLDEN / "coarse_lora.pth").read_bytes()
    path.write_bytes(data)
    expected = reading(path)
    rng = np.random.default_rng(0)
    for position in range(0, len(data), 89):
        flip(path, data, position, int(rng.integers(8)))
        found = reading(path)
        assert found is None or found == expected, position


def test_every_truncation(tmp_path):
    path = tmp_path / "a.pth"
    data = saved(TINY)
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert reading(path) is None, length
    data = (GOLDEN / "coarse_lora.pth").read_bytes()
    for length in range(0, len(data), 97):
        path.write_bytes(data[:length])
        assert reading(path) is None, length


def test_swapped_and_zeroed_pages(tmp_path):
    path = tmp_path / "a.pth"
    data = (GOLDEN / "coarse_lora.pth").read_bytes()
    path.write_bytes(data)
    expected = reading(path)
    for start in range(0, len(data) - 4096, 1024):
        path.write_bytes(data[:start] + bytes(4096) + data[start + 4096 :])
        assert reading(path) in (None, expected)
        path.write_bytes(
            data[:start] + data[start + 512 : start + 1024] + data[start : start + 512] + data[start + 1024 :]
        )
        assert reading(path) in (None, expected)


@pytest.fixture
def copy(tmp_path):
    path = tmp_path / "a.pth"
    path.write_bytes((GOLDEN / "coarse.pth").read_bytes())
    return path


def test_file_that_shrinks(copy):
    with open_checkpoint(copy) as checkpoint:
        os.truncate(copy, 50_000)
        last = list(checkpoint.tensors.values())[-1]
        with pytest.raises(BadInputError, match=r"a\.pth"):
            last.read()
        with pytest.raises(BadInputError, match="changed"):
            checkpoint.verify()
        with pytest.raises(BadInputError, match="changed"):
            checkpoint.sha256()


def test_file_that_changes(copy):
    with open_checkpoint(copy) as checkpoint:
        first, *_ = checkpoint.tensors.values()
        first.read()
        os.utime(copy, ns=(1, 1))
        with pytest.raises(BadInputError, match="changed"):
            first.read()
        with pytest.raises(BadInputError, match="changed"):
            checkpoint.verify()


def test_damage_names_the_tensor(copy):
    data = bytearray(copy.read_bytes())
    with open_checkpoint(copy) as checkpoint:
        name, tensor = next(iter(checkpoint.tensors.items()))
        data[data.index(tensor.read().tobytes()[:64])] ^= 1
    copy.write_bytes(data)
    with open_checkpoint(copy) as checkpoint, pytest.raises(BadInputError, match=name.replace(".", r"\.")):
        checkpoint.tensors[name].read()


def test_a_replaced_file_stays_readable(copy, tmp_path):
    with open_checkpoint(copy) as checkpoint:
        expected = bits(next(iter(checkpoint.tensors.values())).read())
        (tmp_path / "b").write_bytes(b"something else")
        (tmp_path / "b").replace(copy)
        assert bits(next(iter(checkpoint.tensors.values())).read()) == expected
        checkpoint.verify()


def test_disk_that_fails(copy, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error")

    with open_checkpoint(copy) as checkpoint:
        monkeypatch.setattr(os, "pread", fail)
        with pytest.raises(InputOutputError, match="Input/output error"):
            next(iter(checkpoint.tensors.values())).read()


def test_threads():
    with open_checkpoint(GOLDEN / "codec.pth") as checkpoint:
        names = list(checkpoint.tensors) * 6
        np.random.default_rng(0).shuffle(names)
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda name: bits(checkpoint.tensors[name].read()), names))
    state = torch.load(GOLDEN / "codec.pth", weights_only=False)["state_dict"]
    assert all(array[2] == state[name].numpy().tobytes() for name, array in zip(names, found, strict=True))


MEMORY = """
import resource, sys
from vampconv.checkpoint import open_checkpoint
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open_checkpoint(sys.argv[1]) as checkpoint:
    largest = max(tensor.nbytes for tensor in checkpoint.tensors.values())
    for tensor in checkpoint.tensors.values():
        assert tensor.read().shape == tensor.shape
    checkpoint.verify()
    checkpoint.sha256()
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024, largest)
"""


def test_memory_is_that_of_one_tensor(tmp_path):
    state = {f"w{i}": torch.full((10 << 20 >> 2,), float(i)) for i in range(19)}
    state["window"] = torch.as_strided(torch.zeros(10 << 20 >> 2), (1000,), (2,), 99)
    torch.save(state, tmp_path / "a.pth")
    assert (tmp_path / "a.pth").stat().st_size > 200e6
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.pth")]
    growth, largest = map(int, subprocess.check_output(command).split())
    assert growth < 4 * largest
    assert zipfile.is_zipfile(tmp_path / "a.pth")
