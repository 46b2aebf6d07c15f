"""The sampling loop in float64, with a measure of how clear its decisions were: the truth of the loops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vampconv.noise import Noise

Integers = NDArray[np.int64]
Exact = NDArray[np.float64]
Forward = Callable[[Integers, np.float32], Exact]
"""From codes [batch, n_codebooks, time] and the noise level to logits [batch, rows, vocab]."""


@dataclass(frozen=True)
class Settings:
    """Options of one run."""

    steps: int
    temperature: float = 1.0
    mask_temperature: float = 10.5
    top_p: float = 1.0
    sample_cutoff: float = 1.0

    def feeds(self) -> dict[str, NDArray[np.generic]]:
        """What a graph takes."""
        names = ("temperature", "mask_temperature", "top_p", "sample_cutoff")
        options = {name: np.asarray(getattr(self, name), np.float32) for name in names}
        return {"steps": np.asarray(self.steps, np.int64), **options}


@dataclass(frozen=True)
class Draws:
    """Noise of all steps."""

    exponential: NDArray[np.float32]
    """[steps, batch, rows, vocab]."""
    gumbel: NDArray[np.float32]
    """[steps, batch, rows]."""

    @classmethod
    def of_seed(cls, seed: int, steps: int, batch: int, rows: int, vocab: int) -> Draws:
        """What a graph with that seed draws."""
        noise = Noise(seed)
        return cls(
            np.stack([noise.exponential(i, batch, rows, vocab) for i in range(steps)]),
            np.stack([noise.gumbel(i, batch, rows) for i in range(steps)]),
        )


@dataclass
class Loop:
    """One run of the loop.

    Parameters
    ----------
    forward
        The model.
    codes, mask
        int64 [batch, n_codebooks, time]; nonzero in the mask is to be generated.
    vocab
        Size of the codebooks, which is the mask token.
    conditioning
        Number of conditioning codebooks.
    settings, draws
        Options and noise.

    Attributes
    ----------
    margin
        The least difference in log probability, or in confidence, by which a token was chosen or masked.

    """

    forward: Forward
    codes: Integers
    mask: Integers
    vocab: int
    conditioning: int
    settings: Settings
    draws: Draws
    margin: float = np.inf

    def run(self) -> Integers:
        """The codes of the last step."""
        current = np.where(self.mask != 0, self.vocab, self.codes)
        count = np.float32((current == self.vocab).sum())
        result = self.codes
        for i in range(self.settings.steps):
            current, result = self._step(i, current, count)
        return result

    def _step(self, i: int, codes: Integers, count: np.float32) -> tuple[Integers, Integers]:
        s = self.settings
        r = np.float32((i + 1) / s.steps)
        before = codes[:, self.conditioning :].transpose(0, 2, 1).reshape(len(codes), -1)
        masked = before == self.vocab
        logits = self._nucleus(self.forward(codes, r))
        likely = log_softmax(logits / np.float64(np.float32(s.temperature if s.temperature > 0 else 1)))
        scores = logits
        if np.float32(i / s.steps) <= np.float32(s.sample_cutoff):
            scores = likely - np.log(self.draws.exponential[i].astype(np.float64))
        best = np.sort(scores, axis=-1)[..., -2:]
        self._note((best[..., -1] - best[..., 0])[masked])
        tokens = scores.argmax(axis=-1)
        chosen = np.take_along_axis(likely, tokens[..., None], axis=-1)[..., 0]
        heat = np.float64(np.float32(s.mask_temperature) * (np.float32(1) - r))
        confidence = np.where(masked, chosen + heat * self.draws.gumbel[i], np.inf)
        sampled = np.where(masked, tokens, before)
        again = np.zeros_like(masked)
        if i + 1 < s.steps:
            wanted = int(np.floor(gamma(r) * count))
            again = self._least(confidence, np.clip(wanted, None, masked.sum(axis=1) - 1).clip(1))
        return self._whole(np.where(again, self.vocab, sampled)), self._whole(sampled)

    def _nucleus(self, logits: Exact) -> Exact:
        top_p = np.float64(np.float32(self.settings.top_p))
        if top_p >= 1:
            return logits
        order = np.argsort(-logits, axis=-1, kind="stable")
        total = np.cumsum(np.exp(log_softmax(np.take_along_axis(logits, order, axis=-1))), axis=-1)[..., :-1]
        self._note(np.abs(total - top_p) * NUCLEUS)
        beyond = np.concatenate([np.zeros_like(total[..., :1], bool), total > top_p], axis=-1)
        result = logits.copy()
        np.put_along_axis(
            result, order, np.where(beyond, -np.inf, np.take_along_axis(logits, order, axis=-1)), axis=-1
        )
        return result

    def _least(self, confidence: Exact, count: Integers) -> NDArray[np.bool_]:
        ordered = np.sort(confidence, axis=1)
        threshold = np.take_along_axis(ordered, np.minimum(count, confidence.shape[1] - 1)[:, None], axis=1)
        below = np.where(confidence < threshold, threshold - confidence, np.inf)
        above = np.where((confidence > threshold) & np.isfinite(confidence), confidence - threshold, np.inf)
        self._note(np.minimum(below, above)[np.isfinite(threshold[:, 0])])
        return confidence < threshold

    def _whole(self, flat: Integers) -> Integers:
        batch, _, time = self.codes.shape
        predicted = flat.reshape(batch, time, -1).transpose(0, 2, 1)
        return np.concatenate([self.codes[:, : self.conditioning], predicted], axis=1)

    def _note(self, differences: Exact) -> None:
        self.margin = min(self.margin, float(differences.min(initial=np.inf)))


NUCLEUS = 100.0
"""How much finer sums of probabilities are than log probabilities: a margin counts for as many times itself."""


def gamma(r: np.float32) -> np.float32:
    """cos(r·π/2) of the angle in float32, rounded once, within 1e-10 … 1."""
    angle = np.float32(np.float32(r * np.float32(np.pi)) / np.float32(2))
    return np.float32(np.clip(np.float32(np.cos(np.float64(angle))), np.float32(1e-10), np.float32(1)))


def log_softmax(x: Exact) -> Exact:
    """Log probabilities over the last axis."""
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
