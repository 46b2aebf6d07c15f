"""The checkpoints of the conversion benchmark, made in a process of its own so that its memory is not measured."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import torch

from vampconv.reference.random_checkpoint import (
    COARSE,
    LAC_KWARGS,
    checkpoint,
    random_codec_tables,
    random_state_dict,
)


def make(folder: Path, layers: int) -> None:
    """Write ``coarse.pth`` of that many layers, ``half.pth`` of half as many, and ``codec.pth``."""
    tables = random_codec_tables(LAC_KWARGS["n_codebooks"], LAC_KWARGS["codebook_size"], 8, seed=1)
    torch.save(checkpoint(tables, LAC_KWARGS), folder / "codec.pth")
    for name, count in (("half.pth", layers // 2), ("coarse.pth", layers)):
        config = replace(COARSE, n_layers=count)
        torch.save(checkpoint(random_state_dict(config, seed=0), config.to_kwargs()), folder / name)


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]))
