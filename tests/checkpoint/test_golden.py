"""The recorded checkpoints: every tensor bit for bit what torch reads, and the metadata."""

from __future__ import annotations

import hashlib
import subprocess
import sys

import pytest
import torch

from vampconv.checkpoint import open_checkpoint

from ..common import GOLDEN
from .helpers import bits, torch_bits

NAMES = ["c2f", "coarse", "coarse_ctrl", "coarse_film", "coarse_lora", "codec", "codec_odd", "wavebeat"]


@pytest.mark.parametrize("name", NAMES)
def test_reads_what_torch_reads(name):
    path = GOLDEN / f"{name}.pth"
    expected = torch.load(path, weights_only=False)
    state = expected.get("state_dict", expected)
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "torch.save"
        assert list(checkpoint.tensors) == list(state)
        for key, tensor in checkpoint.tensors.items():
            assert (tensor.name, tensor.nbytes) == (key, state[key].nbytes)
            assert bits(tensor.read()) == torch_bits(state[key])
            assert tensor.read().flags.c_contiguous
            assert isinstance(tensor.crc32, int)
        rest = {key: value for key, value in expected.items() if key != "state_dict"}
        if name == "coarse_lora":
            assert checkpoint.metadata == {}
        elif name == "wavebeat":
            assert checkpoint.metadata == rest
            assert checkpoint.metadata["hyper_parameters"]["nblocks"] == 8
        else:
            assert checkpoint.metadata == rest["metadata"]
            assert "kwargs" in checkpoint.metadata
        assert checkpoint.outside == ()
        checkpoint.verify()
        assert checkpoint.sha256() == hashlib.sha256(path.read_bytes()).hexdigest()
        assert checkpoint.size == path.stat().st_size


def test_needs_no_torch():
    code = "import sys, vampconv.checkpoint; assert not {'torch', 'pickle5'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
