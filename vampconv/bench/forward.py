"""Forwards of the transformers' reference: ``python -m vampconv.bench.forward CKPT CODEC STEPS OUTPUT``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from vampconv.bench.rival import serve
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.vampnet import VampNetReference


def main(checkpoint: str, codec: str, steps: int, output: Path) -> None:
    """Serve runs in evaluation mode, as the original has it: LoRA pairs merged, float32, batch 1."""
    loaded = torch.load(checkpoint, mmap=True, weights_only=True)
    tables = codec_tables(torch.load(codec, weights_only=True)["state_dict"])
    model = VampNetReference.from_state_dict(loaded["state_dict"], loaded["metadata"]["kwargs"], tables)
    model.merge_lora()
    shape = 1, model.config.n_codebooks, steps
    codes = torch.from_numpy(np.random.default_rng(0).integers(0, model.config.vocab_size, shape))

    def run() -> np.ndarray:
        with torch.inference_mode():
            return np.asarray(model(codes).numpy())

    serve(run, output)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
