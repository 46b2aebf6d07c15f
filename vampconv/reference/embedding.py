"""What enters the transformer: codebook latents, controls, and the masking ratio r."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional

if TYPE_CHECKING:
    from vampconv.reference.config import VampNetConfig

_POSITIONS = 10000


class CodebookEmbedding(nn.Module):
    """Codec latents, with a learnt row per codebook for the mask token, projected to the embedding dim.

    `special.MASK` is [n_codebooks, latent_dim]; `out_proj` is a 1x1 convolution with bias.
    """

    def __init__(self, config: VampNetConfig) -> None:
        super().__init__()
        mask = torch.empty(config.n_codebooks, config.latent_dim)
        self.special = nn.ParameterDict({"MASK": nn.Parameter(mask)})
        self.out_proj = nn.Conv1d(config.n_codebooks * config.latent_dim, config.embedding_dim, 1)

    def from_codes(self, codes: Tensor, tables: Sequence[Tensor]) -> Tensor:
        """Latents [batch, n_codebooks * latent_dim, time] of `codes` int64 [batch, n_codebooks, time].

        Row vocab_size of each table [vocab_size, latent_dim] is the mask token's.
        """
        mask = self.special["MASK"]
        looked_up = [
            functional.embedding(codes[:, i], torch.cat([table, mask[i : i + 1]]))
            for i, table in enumerate(tables)
        ]
        return torch.cat(looked_up, dim=-1).transpose(1, 2)

    def forward(self, latents: Tensor) -> Tensor:
        """[batch, n_codebooks * latent_dim, time] -> [batch, dim, time]."""
        embedded: Tensor = self.out_proj(latents)
        return embedded


class ControlEncoder(nn.Module):
    """Sum over the controls of mask times linear projection (Sketch2Sound)."""

    def __init__(self, ctrl_dims: Mapping[str, int], dim: int) -> None:
        super().__init__()
        self.ctrl_encoders = nn.ModuleDict({name: nn.Linear(size, dim) for name, size in ctrl_dims.items()})

    def forward(self, ctrls: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> Tensor:
        """[batch, dim, time] of controls [batch, size, time] and masks [batch, time], of any dtype.

        Raises
        ------
        ValueError
            The names given are not those of the model's controls.

        """
        if not set(ctrls) == set(masks) == set(self.ctrl_encoders):
            raise ValueError(f"controls and masks must be given for exactly {', '.join(self.ctrl_encoders)}")
        encoded = []
        for name, encoder in self.ctrl_encoders.items():
            control = ctrls[name].to(next(encoder.parameters()).dtype).transpose(1, 2)
            encoded.append(encoder(control).transpose(1, 2) * masks[name][:, None].to(control.dtype))
        return torch.stack(encoded).sum(0)


def r_embedding(r: Tensor, dim: int) -> Tensor:
    """Sinusoids [batch, dim] of the masking ratio `r` [batch], in float32 whatever the dtype of `r`.

    The argument reaches 10⁴, where float32 rounding of the cosine shifts the sinusoids by up to 10⁻³: a
    trained model has seen the float32 values, so they are the definition (the original's `r_embed`).
    """
    pairs = dim // 2
    position = (r.float() * torch.pi / 2).cos().clamp(1e-10, 1.0) * _POSITIONS
    spacing = math.log(_POSITIONS) / (pairs - 1)
    frequency = torch.arange(pairs, device=r.device).float().mul(-spacing).exp()
    angle = position[:, None] * frequency[None, :]
    return functional.pad(torch.cat([angle.sin(), angle.cos()], dim=1), (0, dim % 2))
