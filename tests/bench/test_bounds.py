"""Memory, under limits, of models that do not fit into it."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from vampconv.bench.large_checkpoints import layers_for, write_large
from vampconv.checkpoint import open_checkpoint
from vampconv.reference.random_checkpoint import COARSE
from vampconv.reference.vampnet import VampNetReference


def test_a_model_that_does_not_fit_into_the_memory_that_there_is(tmp_path):
    """In a process of its own: peak memory is that of the largest of this one and its children."""
    command = [sys.executable, "-m", "vampconv.bench.bounds", "--gigabytes", "0.5", "--directory", tmp_path]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count("│ 0.55 ") == 6  # three rows: the checkpoint's size and the bundle's
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_of_zeros_is_what_torch_reads(tmp_path):
    config = replace(COARSE, n_layers=1, embedding_dim=640)
    path = tmp_path / "coarse.pth"
    write_large(path, config)
    assert zipfile.ZipFile(path).testzip() is None
    assert path.stat().st_blocks * 512 < path.stat().st_size * 0.7
    wanted = torch.load(path, weights_only=True)["state_dict"]
    with open_checkpoint(path) as checkpoint:
        found = {
            name.removeprefix("state_dict."): tensor.read() for name, tensor in checkpoint.tensors.items()
        }
        checkpoint.verify()
    assert found.keys() == wanted.keys()
    for name, tensor in wanted.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
    assert sum(bool(array.any()) for array in found.values()) > len(found) / 2


@pytest.mark.parametrize("size", [1, 2 * 10**9, 6 * 10**9])
def test_layers_for_a_size(size):
    layers = layers_for(size)
    one, two = (sum(_sizes(count)) for count in (1, 2))
    assert one + (layers - 1) * (two - one) >= size
    assert layers == 1 or one + (layers - 2) * (two - one) < size


def _sizes(layers):
    with torch.device("meta"):
        state = VampNetReference(replace(COARSE, n_layers=layers), adapted=True).state_dict()
    return [4 * tensor.numel() for tensor in state.values()]
