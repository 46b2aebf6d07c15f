"""Inputs for single regions that ordinary ones do not reach: every row of every table, every element of a wide
kernel, and choices that are close.

A row that no random code happens to be, a distance beyond the length of a case, or a row that no sound is nearest
to would otherwise be read by nobody.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

from vampconv.reference.attention import FARTHEST, RelativePositionBias
from vampconv.reference.lac import LACReference
from vampconv.reference.lac_quantizer import VectorQuantize
from vampconv.reference.vampnet import VampNetReference
from vampconv.reference.wavebeat import Block, WaveBeatReference

NEIGHBOURS = 2
"""Rows near to each row, between which and the row a choice is asked for."""
CLOSE = 1e-5
"""How far such a choice lies to either side of the middle."""
MARGIN = 1e-6
"""By how much the scores of a choice must differ at least; the rounding of a table is a tenth of it."""
EDGE = 9
"""Steps for which the outermost element of a kernel meets something."""
POSITION_BIAS = "transformer.layers.0.self_attn.relative_attention_bias"


@dataclass(frozen=True)
class Probe:
    """What is given and what must come out, by the names that the reference's values have.

    ``codes`` and ``audio`` are the inputs of the graphs.
    """

    given: Mapping[str, Tensor]
    wanted: Mapping[str, Tensor]


_known: WeakKeyDictionary[nn.Module, tuple[Probe, ...]] = WeakKeyDictionary()


def probes_of(model: nn.Module) -> tuple[Probe, ...]:
    """The probes of a reference in float64; made once for each."""
    if model not in _known:
        with torch.inference_mode():
            _known[model] = tuple(_probes(model))
    return _known[model]


def _probes(model: nn.Module) -> Iterator[Probe]:
    if isinstance(model, VampNetReference):
        yield from _of_transformer(model)
    if isinstance(model, LACReference):
        yield from _of_decoder(model)
        for index, quantizer in enumerate(model.quantizer.quantizers):
            assert isinstance(quantizer, VectorQuantize)
            yield from _of_quantizer(f"quantizer.quantizers.{index}", quantizer)
    if isinstance(model, WaveBeatReference):
        yield from _of_beat_tracker(model)


def _of_transformer(model: VampNetReference) -> Iterator[Probe]:
    config = model.config
    codes = every_code(config.n_codebooks, config.vocab_size + 1)
    yield Probe({"codes": codes}, {">embedding.out_proj": model.latents(codes)})
    bias = next((m for m in model.modules() if isinstance(m, RelativePositionBias)), None)
    if bias is not None:
        time = FARTHEST + 9
        yield Probe({"codes": codes.new_zeros(1, config.n_codebooks, time)}, {POSITION_BIAS: bias(time)})


def _of_beat_tracker(model: WaveBeatReference) -> Iterator[Probe]:
    """Of each block an input in which the outermost elements of its dilated kernel meet something but padding."""
    random, config = torch.Generator().manual_seed(0), model.config
    before = "audio"
    for index, block in enumerate(model.blocks):
        assert isinstance(block, Block)
        length = config.kernel_size // 2 * config.dilation(index) + EDGE
        x = torch.randn(1, config.channels[index], length, generator=random).double()
        path, y, residual = f"blocks.{index}", block.conv1(x), block.res_conv(x)
        wanted = {f"{path}.conv1": y, f"{path}.res_conv": residual}
        if block.norm1 is not None and block.res_norm is not None:
            wanted |= {f"{path}.norm1": block.norm1(y), f"{path}.res_norm": block.res_norm(residual)}
        yield Probe({before: x}, wanted)
        before = path


def _of_decoder(model: LACReference) -> Iterator[Probe]:
    rows, books = model.config.codebook_size, model.config.n_codebooks
    for count in sorted({1, books}):
        codes = every_code(books, rows + 1)[:, :count]
        known = codes.masked_fill(codes == rows, 0)
        yield Probe({"codes": codes}, {">decoder": model.quantizer.from_codes(known)})


def _of_quantizer(path: str, quantizer: VectorQuantize) -> Iterator[Probe]:
    codes = torch.arange(quantizer.codebook.num_embeddings)[None]
    yield Probe({f"{path}#1": codes}, {f">{path}.out_proj": quantizer.rows(codes)})
    latents, chosen = close_choices(quantizer)
    if chosen.numel():
        yield Probe({f"{path}.in_proj": latents}, {f"{path}#1": chosen})


def every_code(books: int, rows: int) -> Tensor:
    """Codes int64 [1, books, rows]: in each codebook every row once, each beginning at another."""
    return (torch.arange(rows)[None] + torch.arange(books)[:, None])[None] % rows


def close_choices(quantizer: VectorQuantize) -> tuple[Tensor, Tensor]:
    """Latents [1, dim, n] and their codes [1, n]: each row itself, and both sides of the middle between neighbours.

    Of rows that are equal when they are normalised, the first is the code. Choices that float32 could make
    either way are left out.
    """
    unit = functional.normalize(quantizer.codebook.weight)
    equal = (unit[:, None] == unit).all(-1)
    first = equal.int().argmax(1)
    likeness = (unit @ unit.T).masked_fill(equal, -torch.inf)
    near = likeness.topk(min(NEIGHBOURS, len(unit) - 1), 1).indices
    here, there = unit[:, None], unit[near]
    middle, across = (here + there) / 2, CLOSE * (here - there)
    sides = [(middle + sign * across).flatten(0, 1) for sign in (-1, 1)]
    latents = torch.cat([unit, *sides]).T[None]
    scores = quantizer.scores(latents)[0]
    best = scores.max(-1)
    others = scores.masked_fill(equal[best.indices], -torch.inf).max(-1).values
    clear = best.values - others > MARGIN
    return latents[:, :, clear], first[best.indices][clear][None]
