"""Checkpoints with random weights, made in a process of its own: ``python -m vampconv.bench.checkpoints FOLDER SIZE``.

``SIZE`` is JSON, and so are the names of the files to make that may follow.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vampconv.reference.config import VampNetConfig
    from vampconv.reference.lac_config import LACConfig

FILES = ("coarse.pth", "c2f.pth", "codec.pth", "half.pth", "quarter.pth")
LAYERS = {"half.pth": 2, "quarter.pth": 4}
"""Files of the coarse model with fewer layers, and how many times fewer."""
HEAD_DIM = 64


@dataclass(frozen=True)
class Size:
    """How large the models are.

    Parameters
    ----------
    layers
        Of the coarse model; None: as many as the trained one has. The coarse-to-fine model has ⅘ of that.
    width
        All channels are those of the trained models over this.
    blocks
        Of the codec's encoder and of its decoder; None: all four. With fewer, the hop is shorter.

    """

    layers: int | None = None
    width: int = 1
    blocks: int | None = None

    def command(self, folder: Path, files: Collection[str] = FILES) -> list[str]:
        """What makes the checkpoints in a process of its own."""
        module = [sys.executable, "-m", "vampconv.bench.checkpoints", str(folder)]
        return [*module, json.dumps(asdict(self)), json.dumps(list(files))]

    def transformers(self) -> tuple[VampNetConfig, VampNetConfig]:
        """The coarse and the coarse-to-fine model."""
        from vampconv.reference.random_checkpoint import COARSE, COARSE_TO_FINE

        dim = COARSE.embedding_dim // self.width
        heads, layers = max(1, dim // HEAD_DIM), self.layers or COARSE.n_layers
        coarse = replace(COARSE, embedding_dim=dim, n_heads=heads, n_layers=layers)
        fine = replace(COARSE_TO_FINE, embedding_dim=dim, n_heads=heads, n_layers=-(-layers * 4 // 5))
        return coarse, fine

    def codec(self) -> LACConfig:
        """The codec."""
        from vampconv.reference.lac_config import LACConfig
        from vampconv.reference.random_checkpoint import LAC_KWARGS

        config = LACConfig.from_kwargs(LAC_KWARGS)
        blocks = self.blocks or len(config.encoder_rates)
        return replace(
            config,
            encoder_dim=config.encoder_dim // self.width,
            decoder_dim=config.decoder_dim // self.width,
            encoder_rates=config.encoder_rates[:blocks],
            decoder_rates=config.decoder_rates[len(config.decoder_rates) - blocks :],
        )


FULL = Size()
"""Of the trained models."""
SMALL = Size(layers=4, width=4)
"""For a quick look."""


def make(folder: Path, size: Size, files: Collection[str] = FILES) -> None:
    """Write the checkpoints; ``half.pth`` and ``quarter.pth`` are coarse models of fewer layers."""
    import torch

    from vampconv.reference.random_audio_checkpoint import random_codec
    from vampconv.reference.random_checkpoint import checkpoint, random_state_dict

    folder.mkdir(parents=True, exist_ok=True)
    codec, (coarse, fine) = size.codec(), size.transformers()
    configs = {"coarse.pth": coarse, "c2f.pth": fine}
    configs |= {n: replace(coarse, n_layers=max(1, coarse.n_layers // over)) for n, over in LAYERS.items()}
    for seed, (name, config) in enumerate(configs.items()):
        if name in files:
            torch.save(checkpoint(random_state_dict(config, seed), config.to_kwargs()), folder / name)
    if "codec.pth" in files:
        torch.save(checkpoint(random_codec(codec, 0), codec.to_kwargs()), folder / "codec.pth")


if __name__ == "__main__":
    make(
        Path(sys.argv[1]), Size(**json.loads(sys.argv[2])), json.loads(sys.argv[3]) if sys.argv[3:] else FILES
    )
