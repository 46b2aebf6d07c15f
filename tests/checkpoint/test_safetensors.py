"""safetensors files."""

from __future__ import annotations

import contextlib
import json
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, LimitError, VampconvError

from .helpers import bits, everything, torch_bits

STATE = {
    "w": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.float16),
    "brain": torch.tensor([[1.5, -2.0, 3e38]], dtype=torch.bfloat16),
    "eighth": torch.tensor([1.5, -2.0], dtype=torch.float8_e4m3fn),
    "steps": torch.tensor(12),
    "on": torch.tensor([True, False, True]),
    "none": torch.empty(0, 4),
    "bytes": torch.arange(5, dtype=torch.uint8),
}


@pytest.fixture
def path(tmp_path):
    metadata = {"format": "pt", "kwargs": json.dumps({"n_layers": 2, "rates": [1, 2]}), "deep": "[" * 99}
    save_file(STATE, tmp_path / "a.safetensors", metadata)
    return tmp_path / "a.safetensors"


def test_reads_what_was_written(path):
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "safetensors"
        assert set(checkpoint.tensors) == set(STATE)
        for name, tensor in checkpoint.tensors.items():
            assert bits(tensor.read()) == torch_bits(STATE[name])
            assert tensor.crc32 is None
        expected = {"format": "pt", "kwargs": {"n_layers": 2, "rates": [1, 2]}, "deep": "[" * 99}
        assert checkpoint.metadata == expected
        checkpoint.verify()


def test_values_of_the_metadata_stay_apart(tmp_path):
    lists = {f"key {i}": [i] for i in range(50)}
    save_file(STATE, tmp_path / "a.safetensors", {key: json.dumps(value) for key, value in lists.items()})
    with open_checkpoint(tmp_path / "a.safetensors") as checkpoint:
        assert checkpoint.metadata == lists


def raw(path, header, data=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": F32}, bytes(4)),
        ({"a": F32}, bytes(12)),
        ({"a": {**F32, "dtype": "C64", "shape": [1]}}, bytes(8)),
        ({"a": {**F32, "dtype": "??"}}, bytes(8)),
        ({"a": {**F32, "shape": [-2]}}, bytes(8)),
        ({"a": {**F32, "shape": [1 << 62, 1 << 62]}}, bytes(8)),
        ({"a": {**F32, "data_offsets": [4, 12]}}, bytes(12)),
        ({"a": F32, "b": F32}, bytes(8)),
        (
            b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"a":{"dtype":"I32","shape":[2],"data_offsets":[8,16]}}',
            bytes(16),
        ),
        ({}, b""),
        ({"__metadata__": {"a": "b"}}, b""),
        ({"__metadata__": {"a": 3}, "w": F32}, bytes(8)),
        (b"{" + b'"a":[' * 2000, b""),
        (b'{"\xff": 1}', b""),
    ],
)
def test_refuses_a_header_that_does_not_fit(tmp_path, header, data):
    with pytest.raises(BadInputError):
        open_checkpoint(raw(tmp_path / "a.safetensors", header, data))


def test_bounds(tmp_path):
    (tmp_path / "a").write_bytes(struct.pack("<Q", 1 << 36) + b"{" + bytes(100))
    with pytest.raises(LimitError):
        open_checkpoint(tmp_path / "a")
    raw(tmp_path / "b", {"__metadata__": {"k": "[" * 80 + "]" * 80}, "w": F32}, bytes(8))
    with pytest.raises(LimitError):
        open_checkpoint(tmp_path / "b")


def test_damage_raises_nothing_else(path, tmp_path):
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for position in range(len(data)):
        torn = bytearray(data)
        torn[position] ^= 1 << int(rng.integers(8))
        (tmp_path / "b").write_bytes(torn)
        with contextlib.suppress(VampconvError):
            everything(tmp_path / "b")
        (tmp_path / "b").write_bytes(data[:position])
        with pytest.raises(VampconvError):
            everything(tmp_path / "b")
