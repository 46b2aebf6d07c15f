"""Residual vector quantisation, and what decides between two codes."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from functools import reduce
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.lac_layers import WeightNormConv


class Quantized(NamedTuple):
    """What the quantizer makes of `z` [batch, channels, time].

    `zq` [batch, channels, time] is what the decoder takes, `codes` int64 [batch, n_codebooks, time], and
    `latents` [batch, sum of codebook_dims, time] the projections before the look-up.
    """

    zq: Tensor
    codes: Tensor
    latents: Tensor


class Scores(NamedTuple):
    """Float64 scores, each [batch, n_codebooks, time]; the codebook's first row of highest score is the code.

    A score is minus the squared distance of the normalised latent and the normalised row: twice the cosine less
    2, except for rows of norm 0, which stay 0 and score -1, as though their cosine were a half.
    `second` is that of the best other row (-inf where there is none), `chosen` that of the code given.
    """

    best: Tensor
    second: Tensor
    chosen: Tensor


class VectorQuantize(nn.Module):
    """One codebook [size, dim] between a projection down to `dim` and one back up."""

    def __init__(self, channels: int, size: int, dim: int) -> None:
        super().__init__()
        self.in_proj = WeightNormConv(channels, dim, 1)
        self.out_proj = WeightNormConv(dim, channels, 1)
        self.codebook = nn.Embedding(size, dim)

    def rows(self, codes: Tensor) -> Tensor:
        """Rows [batch, dim, time] of codes [batch, time]."""
        return functional.embedding(codes, self.codebook.weight).transpose(1, 2)

    def scores(self, latents: Tensor) -> Tensor:
        """Minus the squared distances [batch, time, size] of latents [batch, dim, time]; see `Scores`."""
        unit = functional.normalize(latents.transpose(1, 2), dim=-1)
        table = functional.normalize(self.codebook.weight)
        own = unit.square().sum(-1, keepdim=True)
        return -(own - 2 * unit @ table.T + table.square().sum(-1))

    def nearest(self, latents: Tensor) -> Tensor:
        """Codes [batch, time] of latents [batch, dim, time], the first on ties."""
        return self.scores(latents).max(-1).indices

    def forward(self, residual: Tensor, forced: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Contribution [batch, channels, time], codes [batch, time] and latents [batch, dim, time].

        Codes that are `forced` [batch, time] take the place of the nearest ones.
        """
        latents: Tensor = self.in_proj(residual)
        codes = self.nearest(latents) if forced is None else forced
        straight_through = latents + (self.rows(codes) - latents)  # rounds as the original does
        return self.out_proj(straight_through), codes, latents


class ResidualVectorQuantize(nn.Module):
    """Codebooks that each quantise what the ones before them left over."""

    def __init__(self, channels: int, size: int, dims: Sequence[int]) -> None:
        super().__init__()
        self.quantizers = nn.ModuleList(VectorQuantize(channels, size, dim) for dim in dims)

    def forward(self, z: Tensor, forced: Tensor | None = None) -> Quantized:
        """Quantise `z` [batch, channels, time]; `forced` codes [batch, n_codebooks, time] replace the nearest."""
        residual, zq = z, torch.zeros_like(z)
        codes: list[Tensor] = []
        latents: list[Tensor] = []
        for i, quantizer in enumerate(self.quantizers):
            part, code, latent = quantizer(residual, None if forced is None else forced[:, i])
            residual, zq = residual - part, zq + part
            codes.append(code)
            latents.append(latent)
        return Quantized(zq, torch.stack(codes, 1), torch.cat(latents, 1))

    def code_latents(self, codes: Tensor) -> Tensor:
        """Table rows [batch, sum of dims, time] of codes int64 [batch, n, time] of the first n codebooks."""
        return torch.cat([quantizer.rows(code) for quantizer, code in self._pairs(codes)], 1)

    def from_codes(self, codes: Tensor) -> Tensor:
        """Decoder input [batch, channels, time] of codes int64 [batch, n, time] of the first n codebooks.

        As VampNet has it: each code's row is quantised anew before it is projected, so a code whose row has the
        direction of an earlier row becomes that one.
        """
        parts = []
        for quantizer, code in self._pairs(codes):
            again = quantizer.nearest(quantizer.rows(code))
            parts.append(quantizer.out_proj(quantizer.rows(again)))
        return reduce(torch.add, parts)

    def judge(self, z: Tensor, codes: Tensor) -> Scores:
        """Scores of `codes` int64 [batch, n, time] as the quantisation of `z`, in float64.

        Each codebook is judged on what the *given* codes before it leave over, so a code that differs makes no
        later one wrong.
        """
        found: list[Tensor] = []
        residual = z.double()
        for quantizer, code in copy.deepcopy(self).double()._pairs(codes):
            scores = quantizer.scores(quantizer.in_proj(residual))
            top = functional.pad(scores, (0, 1), value=-torch.inf).topk(2, -1).values
            found.append(torch.cat([top, scores.gather(-1, code[..., None])], -1))
            residual = residual - quantizer.out_proj(quantizer.rows(code))
        return Scores(*torch.stack(found, 1).unbind(-1))

    def _pairs(self, codes: Tensor) -> Iterator[tuple[VectorQuantize, Tensor]]:
        """The first n codebooks, each with its codes [batch, time]."""
        for quantizer, code in zip(self.quantizers, codes.unbind(1), strict=False):
            assert isinstance(quantizer, VectorQuantize)
            yield quantizer, code
