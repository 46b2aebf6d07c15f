"""Whether a codec's codes are right: the reference in float64 decides, and tells a tie from a real flip."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from vampconv.reference.lac import LACReference

ROOM = 4
"""The converted model's scores may be so many times further from float64 than torch's float32 is."""
LEAST = 16 * 2.0**-24
"""What they may be off in any case."""


class Verdict(NamedTuple):
    """Of codes [batch, n_codebooks, time]: which are ties, and which are wrong (`real`); all others are right."""

    ties: np.ndarray
    real: np.ndarray


class Truth:
    """The reference of a checkpoint, as float64 and as float32."""

    def __init__(self, saved: dict) -> None:
        state, kwargs = saved["state_dict"], saved["metadata"]["kwargs"]
        self.single = LACReference.from_state_dict(state, kwargs)
        self.double = LACReference.from_state_dict(state, kwargs, torch.float64)

    def judge(self, audio: np.ndarray, codes: np.ndarray) -> Verdict:
        """Judge codes [batch, n_codebooks, time], each on what those before it leave of audio [batch, 1, samples].

        A code that is not the nearest is a tie if its float64 score is as close to the best one as float32 can
        tell: within twice the error of the scores in that place, which is measured on torch's float32.
        """
        given = torch.from_numpy(codes)
        z, rounded_z = _z(self.double, audio), _z(self.single, audio)
        best, _, chosen = self.double.quantizer.judge(z, given)
        assert best.shape == given.shape
        rounding = _scores(self.single, rounded_z, given).double() - _scores(self.double, z, given)
        error = (ROOM * rounding.abs().amax(-1)).clamp_min(LEAST)
        right, close = chosen == best, best - chosen <= 2 * error
        return Verdict((close & ~right).numpy(), (~(close | right)).numpy())

    def check(self, audio: np.ndarray, codes: np.ndarray) -> int:
        """Assert that no code is wrong, and that all are the reference's where nothing ties; count the ties."""
        ties, real = self.judge(audio, codes)
        assert not real.any(), np.argwhere(real)[:5].tolist()
        wanted = self.double.quantizer(_z(self.double, audio)).codes.numpy()
        clear = ~np.maximum.accumulate(ties, axis=1)
        assert codes.dtype == np.int64
        assert np.array_equal(codes[clear], wanted[clear])
        return int(ties.sum())


def _z(model: LACReference, audio: np.ndarray) -> Tensor:
    return model.encoder(model.pad(torch.from_numpy(audio).to(next(model.parameters()).dtype)))


def _scores(model: LACReference, residual: Tensor, codes: Tensor) -> Tensor:
    """Scores [batch, n_codebooks, time, size] of all rows, each codebook on what the codes before it leave."""
    found = []
    for quantizer, code in zip(model.quantizer.quantizers, codes.unbind(1), strict=True):
        found.append(quantizer.scores(quantizer.in_proj(residual)))
        residual = residual - quantizer.out_proj(quantizer.rows(code))
    return torch.stack(found, 1)


def second_best(truth: Truth, audio: np.ndarray, codes: np.ndarray) -> np.ndarray:
    """The codes that would come next, [batch, n_codebooks, time], each after the given ones before it."""
    scores = _scores(truth.double, _z(truth.double, audio), torch.from_numpy(codes))
    return scores.topk(2, -1).indices[..., 1].numpy()


def signal(kind: str, samples: int) -> np.ndarray:
    """Audio float32 [1, 1, samples] of one of `SIGNALS`."""
    return SIGNALS[kind](np.arange(samples), np.random.default_rng(samples)).astype(np.float32)[None, None]


SIGNALS = {
    "silence": lambda n, _: 0.0 * n,
    "direct current": lambda n, _: 1.0 + 0 * n,
    "square at full scale": lambda n, _: 1.0 - n // 50 % 2 * 2,
    "sine at full scale": lambda n, _: np.sin(0.0627 * n),
    "click": lambda n, _: 1.0 * (n == len(n) // 2),
    "noise": lambda n, random: random.uniform(-1, 1, len(n)),
    "quiet noise": lambda n, random: 1e-4 * random.standard_normal(len(n)),
    "chord": lambda n, random: sum(
        0.2 * np.sin(f * n + random.uniform(0, 6)) for f in (0.03, 0.04, 0.3, 1.1)
    ),
}
"""Functions of the sample numbers and a random generator."""
