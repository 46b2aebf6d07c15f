"""The rival: ``torch.onnx.export(dynamo=True)`` of the reference, as a process of its own."""

from __future__ import annotations

import sys
import warnings

import torch
from torch.export import Dim

from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.vampnet import VampNetReference


def export(checkpoint: str, codec: str, output: str) -> None:
    """Export the model of a checkpoint with dynamic batch and time, weights as external data."""
    loaded = torch.load(checkpoint, mmap=True, weights_only=True)
    tables = codec_tables(torch.load(codec, weights_only=True)["state_dict"])
    kwargs = loaded["metadata"]["kwargs"]
    model = VampNetReference.from_state_dict(loaded["state_dict"], kwargs, tables)
    codes = torch.zeros(2, model.config.n_codebooks, 5, dtype=torch.long)
    dynamic = {"codes": {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}}
    program = torch.onnx.export(
        model, (), kwargs={"codes": codes}, dynamic_shapes=dynamic, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(output, external_data=True)


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    export(*sys.argv[1:4])
