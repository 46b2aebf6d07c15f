"""The sampling loop in numpy, written from UPSTREAM's description, with the forward pass as a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray


@dataclass
class Margins:
    """How near the closest decision was to going the other way, relative to the numbers compared."""

    sampled: list[float] = field(default_factory=list)
    masked: list[float] = field(default_factory=list)

    def least(self) -> float:
        return min([np.inf, *self.sampled, *self.masked])


@dataclass
class Options:
    steps: int = 12
    temperature: float = 1.0
    mask_temperature: float = 10.5
    top_p: float = 1.0
    sample_cutoff: float = 1.0


def gamma(r: np.float32) -> np.float32:
    angle = np.float32(np.float32(r * np.float32(np.pi)) / np.float32(2))
    return np.clip(np.float32(np.cos(np.float64(angle))), np.float32(1e-10), np.float32(1))


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True, dtype=np.float32)


def nucleus(logits: Array, top_p: float) -> Array:
    out = logits.copy()
    for row in out.reshape(-1, out.shape[-1]):
        order = np.argsort(-row, kind="stable")
        total = np.cumsum(softmax(row[order]).astype(np.float64)).astype(np.float32)
        row[order[1:][total[:-1] > np.float32(top_p)]] = -np.inf
    return out


def generate(
    forward: Callable[[Array, np.float32], Array],
    codes: Array,
    mask: Array,
    vocab: int,
    conditioning: int,
    options: Options,
    exponential: Callable[[int, tuple[int, ...]], Array],
    gumbel: Callable[[int, tuple[int, ...]], Array],
) -> tuple[Array, Margins]:
    margins = Margins()
    masked_codes = np.where(mask != 0, vocab, codes)
    total = np.float32((masked_codes == vocab).sum())
    batch, _, time = codes.shape
    predicted = codes.shape[1] - conditioning
    for i in range(options.steps):
        r = np.float32((i + 1) / options.steps)
        logits = forward(masked_codes, r)
        if options.top_p < 1:
            logits = nucleus(logits, options.top_p)
        p = softmax(logits / np.float32(options.temperature if options.temperature > 0 else 1))
        scores = logits
        if np.float32(i / options.steps) <= np.float32(options.sample_cutoff):
            scores = p / exponential(i, p.shape)
        sampled = scores.argmax(-1)
        best = np.sort(scores, -1)[..., -2:].astype(np.float64)
        old = masked_codes[:, conditioning:].transpose(0, 2, 1).reshape(batch, -1)
        masked = old == vocab
        if best.shape[-1] == 2 and masked.any():
            margins.sampled.append(float(np.min((1 - best[..., 0] / best[..., 1])[masked])))
        with np.errstate(divide="ignore"):
            likely = np.log(np.take_along_axis(p, sampled[..., None], -1)[..., 0])
        noise = gumbel(i, sampled.shape)
        heat = np.float32(options.mask_temperature) * (np.float32(1) - r)
        confidence = np.where(masked, likely, np.float32(np.inf)) + heat * noise
        k = np.full(batch, int(np.floor(gamma(r) * total)))
        if i != options.steps - 1:
            k = np.maximum(1, np.minimum(masked.sum(-1) - 1, k))
        k = np.minimum(k, confidence.shape[1] - 1)
        sampled = np.where(masked, sampled, old)
        threshold = np.take_along_axis(np.sort(confidence, -1), k[:, None], -1)
        again = confidence < threshold
        if i != options.steps - 1:
            for row, limit in zip(confidence.astype(np.float64), threshold[:, 0], strict=True):
                other = row[np.isfinite(row) & (row != limit)]
                if np.isfinite(limit) and other.size:
                    margins.masked.append(float(np.abs(other - limit).min() / max(1, abs(limit))))

        def whole(flat: Array) -> Array:
            part = flat.reshape(batch, time, predicted).transpose(0, 2, 1)
            return np.concatenate([codes[:, :conditioning], part], 1)

        masked_codes, result = whole(np.where(again, vocab, sampled)), whole(sampled)
    return result, margins
