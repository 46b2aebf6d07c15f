"""A whole vamp by the reference, in PyTorch's eager mode, as the original goes about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from vampconv.bench.inputs import frames_in, inputs
from vampconv.bench.modules import load_reference
from vampconv.bench.rival import Work
from vampconv.play.clock import Clock
from vampconv.reference.lac import LACReference
from vampconv.reference.vampnet import VampNetReference
from vampconv.runtime.bundle import Bundle

FINE_STEPS = 2


@dataclass(frozen=True)
class ReferenceVamp:
    """The models of a bundle's checkpoints, in float32, all in memory.

    Parameters
    ----------
    codec, coarse, fine
        The models.
    bundle
        For sizes.
    steps
        Of the coarse model.

    """

    codec: LACReference
    coarse: VampNetReference
    fine: VampNetReference
    bundle: Bundle
    steps: int

    @classmethod
    def load(cls, bundle: Path, paths: Mapping[str, Path], steps: int) -> ReferenceVamp:
        """Of the checkpoints, by their labels in the manifest."""
        codec, coarse, fine = (load_reference(bundle, paths, part) for part in ("encoder", "coarse", "c2f"))
        assert isinstance(codec, LACReference)
        assert isinstance(coarse, VampNetReference)
        assert isinstance(fine, VampNetReference)
        return cls(codec, coarse, fine, Bundle(bundle), steps)

    def prepare(self, seconds: float) -> Work:
        """A vamp of noise of that length: its audio float32 [1, 1, samples], and the seconds of its parts."""
        frames = self._frames(seconds)
        audio = torch.from_numpy(inputs("encoder", self.bundle.architecture("encoder"), frames)["audio"])

        def work() -> tuple[NDArray[Any], dict[str, float]]:
            clock = Clock()
            with torch.inference_mode():
                return np.asarray(self.vamp(audio, clock).numpy()), clock.seconds

        return work

    def vamp(self, audio: torch.Tensor, clock: Clock) -> torch.Tensor:
        """Audio float32 [1, 1, samples] to other audio; all its codes are made anew, in the original's chunks."""
        count, length = self.coarse.config.n_codebooks, self._frames(self.bundle.chunk_seconds("coarse"))
        with clock.part("encoder"):
            codes = self.codec.quantizer(self.codec.encoder(self.codec.pad(audio))).codes
        with clock.part("coarse"):
            pieces = torch.split(codes[:, :count], length, dim=-1)
            coarse = torch.cat([generate(self.coarse, piece, self.steps) for piece in pieces], dim=-1)
        with clock.part("coarse to fine"):
            time, length = codes.shape[-1], self._frames(self.bundle.chunk_seconds("c2f"))
            whole = torch.cat((coarse, codes[:, count:]), 1)
            pieces = torch.split(torch.nn.functional.pad(whole, (0, -time % length)), length, dim=-1)
            made = torch.cat([generate(self.fine, piece, FINE_STEPS) for piece in pieces], dim=-1)
        with clock.part("decoder"):
            sound: torch.Tensor = self.codec.decode_codes(made[..., :time])
        return sound

    def _frames(self, seconds: float) -> int:
        return frames_in(seconds, self.bundle.number("sample_rate"), self.bundle.number("hop"))


def generate(model: VampNetReference, codes: torch.Tensor, steps: int) -> torch.Tensor:
    """The sampling loop over codes int64 [batch, n_codebooks, time], of which all that do not condition are masked."""
    fixed, token = model.config.n_conditioning_codebooks, model.config.vocab_size
    batch, total, time = codes.shape
    rows = (total - fixed) * time
    known = torch.full((batch, rows), token)
    for step in range(steps):
        shown = torch.cat((codes[:, :fixed], known.view(batch, time, -1).transpose(1, 2)), 1)
        p = torch.softmax(model(shown).transpose(1, 2), -1)
        drawn = torch.multinomial(p.reshape(-1, token), 1).view(batch, rows)
        masked = known == token
        known = torch.where(masked, drawn, known)
        if step == steps - 1:
            break
        r = (step + 1) / steps
        gumbel = -torch.log(-torch.log(torch.rand(batch, rows)))
        likely = torch.log(p.gather(-1, drawn[..., None])[..., 0]) + 10.5 * (1 - r) * gumbel
        confidence = likely.masked_fill(~masked, torch.inf)
        least = int(np.clip(np.floor(np.cos(r * np.pi / 2) * batch * rows), 1, int(masked.sum()) - 1))
        known = torch.where(confidence < confidence.sort(-1)[0][:, least, None], token, known)
    return torch.cat((codes[:, :fixed], known.view(batch, time, -1).transpose(1, 2)), 1)
