"""Tokens made anew, one variation after another and one model after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from math import ceil

import numpy as np
from numpy.typing import NDArray

from vampconv.play.arrays import read_floats
from vampconv.play.clock import Clock
from vampconv.play.masking import Mask, Masks
from vampconv.play.request import Request
from vampconv.play.source import Source
from vampconv.runtime import Progress, Vamped, VampNet
from vampconv.runtime.controls import Controls
from vampconv.runtime.sampling.seeded import source as seeded
from vampconv.runtime.streaming import masked
from vampconv.runtime.vamping import Vamping

Codes = NDArray[np.int64]
Tell = Callable[[str, int, int], None]
"""Told what is in work, how much of it is done and how much there is."""


@dataclass(frozen=True)
class Variation:
    """One vamp of all channels."""

    seed: int
    mask: Mask
    """Bool [1 or batch, n_codebooks, time] of the source's codes."""
    made: Vamped
    """Codes int64 [channels·batch, n_codebooks, time], those of a channel one after another."""


def vary(
    request: Request, vampnet: VampNet, found: Source, seed: int, clock: Clock, tell: Tell
) -> list[Variation]:
    """All variations. Only one of the models is in memory at a time, and none at the end."""
    with clock.part("mask"):
        masks = Masks(request, vampnet, found.codes.shape[1:], found.mono)
        controls = read_controls(request, vampnet, found.codes.shape[2])
        seeds = [seed + number for number in range(request.variations)]
        chosen = {s: masks.of(seeded(s)) for s in seeds}
    runs = [(s, row) for s in seeds for row in range(len(found.codes))]
    time = found.codes.shape[2] * request.time_stretch_factor

    def vamping(number: int) -> Vamping:
        told = _progress(vampnet, time, number, len(runs), tell)
        return vampnet.vamping(
            noise=runs[number][0],
            feedback_steps=request.feedback_steps,
            controls=controls,
            on_progress=told,
            **asdict(request.sampling),
        )

    with clock.part("coarse"):
        coarse = []
        for number, (s, row) in enumerate(runs):
            pieces = _masked(request, vampnet, found.codes[row : row + 1], chosen[s])
            coarse.append(list(vamping(number).coarsely(pieces)))
        vampnet.coarse.release()
    with clock.part("coarse to fine"):
        made = [_joined(list(vamping(number).finely(chunks))) for number, chunks in enumerate(coarse)]
        vampnet.c2f.release()
    rows = len(found.codes)
    return [
        Variation(s, chosen[s], _stacked(made[place * rows : (place + 1) * rows]))
        for place, s in enumerate(seeds)
    ]


def _masked(request: Request, vampnet: VampNet, codes: Codes, mask: Mask) -> list[tuple[Codes, Mask]]:
    counts = vampnet.coarse.n_codebooks, vampnet.c2f.n_codebooks
    shape = request.batch_size, request.time_stretch_factor
    whole = masked(
        [codes], lambda start, stop: mask[..., start:stop], *counts, vampnet.coarse.vocab_size, *shape
    )
    return list(whole)


def _joined(pieces: list[Vamped]) -> Vamped:
    return Vamped(*(np.concatenate(arrays, axis=-1) for arrays in zip(*pieces, strict=True)))


def _stacked(rows: list[Vamped]) -> Vamped:
    return Vamped(*(np.concatenate(arrays) for arrays in zip(*rows, strict=True)))


def _progress(vampnet: VampNet, time: int, run: int, runs: int, tell: Tell) -> Callable[[Progress], None]:
    def told(at: Progress) -> None:
        chunks = ceil(time / vampnet.chunk_length(at.part))
        each = at.feedback_steps * at.steps
        done = (run * chunks + at.chunk - 1) * each + (at.feedback - 1) * at.steps + at.step
        words = [f"{'coarse' if at.part == 'coarse' else 'coarse to fine'}: chunk {at.chunk} of {chunks}"]
        words += [f"vamp {at.feedback} of {at.feedback_steps}"] * (at.feedback_steps > 1)
        words += [f"run {run + 1} of {runs}"] * (runs > 1)
        tell(", ".join((*words, f"step {at.step} of {at.steps}")), done, runs * chunks * each)

    return told


def read_controls(request: Request, vampnet: VampNet, time: int) -> Controls | None:
    """The request's controls, for the time of the codes as they are vamped.

    Raises
    ------
    BadInputError
        If the models have no such controls, or they do not fit.

    """
    if not request.controls and not request.control_masks:
        return None
    values = {n: a if a.ndim != 2 else a[None] for n, a in read_floats(request.controls).items()}
    masks = {n: a if a.ndim != 1 else a[None] for n, a in read_floats(request.control_masks).items()}
    dims = {**vampnet.c2f.ctrl_dims, **vampnet.coarse.ctrl_dims}
    controls = Controls.of(dims, values, masks, 1, time)
    return controls.of_batch(request.batch_size).stretched(request.time_stretch_factor)
