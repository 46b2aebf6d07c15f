"""The sampling loops of a bundle against the loop in float64 around the reference, token by token."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray

from vampconv.runtime.session import LOADING_ERRORS
from vampconv.verify.result import Case, LoopCheck
from vampconv.verify.sampling import Draws, Exact, Integers, Loop, Settings
from vampconv.verify.side import Reference
from vampconv.verify.subjects import Feeds, Transformer

Array = NDArray[Any]
CASE = Case(batch=2, length=13, seed=0)
SETTINGS = (
    Settings(4),
    Settings(4, temperature=0.9, mask_temperature=4.0, top_p=0.9, sample_cutoff=0.5),
)
MARGIN = 1e-4
"""How clear every decision of the truth must be, in log probability; float32 errs by a hundredth of it."""
ATTEMPTS = 50
MASKED = 0.9
"""Share of tokens to generate."""


@dataclass(frozen=True)
class LoopVerifier:
    """Judges the loops around one transformer.

    Parameters
    ----------
    bundle
        Where the loops lie.
    reference
        The transformer in float64.
    threads
        Of ONNX Runtime.

    """

    bundle: Path
    reference: Reference
    threads: int | None = None

    def run(self, loops: Mapping[str, Mapping[str, Any]]) -> Iterator[LoopCheck]:
        """Check the loops of these entries of the manifest."""
        for entry in loops.values():
            tokens = wrong = 0
            problem = ""
            try:
                session = self._open(entry["file"])
                for settings in SETTINGS:
                    given, wanted = self._clear_case(settings, recorded=entry["draws"] == "recorded")
                    found = np.asarray(session.run(None, given)[0])
                    tokens += wanted.size
                    wrong += int((found != wanted).sum()) if found.shape == wanted.shape else wanted.size
            except LOADING_ERRORS as error:
                problem = f"ONNX Runtime cannot run it: {str(error).strip().splitlines()[0]}"
            yield LoopCheck(entry["file"], tokens, wrong, problem or _judgement(tokens, wrong))

    def _open(self, file: str) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads or 0
        options.log_severity_level = 4
        return onnxruntime.InferenceSession(self.bundle / file, options, providers=["CPUExecutionProvider"])

    def _clear_case(self, settings: Settings, *, recorded: bool) -> tuple[Feeds, Integers]:
        """Inputs whose truth leaves no decision in doubt, or else the clearest of some, and that truth."""
        best: tuple[float, Feeds, Integers] | None = None
        for seed in range(ATTEMPTS):
            feeds, loop = self._case(settings, seed, recorded=recorded)
            wanted = loop.run()
            if best is None or loop.margin > best[0]:
                best = loop.margin, feeds, wanted
            if loop.margin > MARGIN:
                break
        assert best is not None
        return best[1], best[2]

    def _case(self, settings: Settings, seed: int, *, recorded: bool) -> tuple[Feeds, Loop]:
        subject = self.reference.subject
        assert isinstance(subject, Transformer)
        config, random = subject.config, np.random.default_rng((7, seed))
        feeds = subject.feeds(replace(CASE, seed=seed))
        batch, _, time = shape = feeds["codes"].shape
        codes = random.integers(0, config.vocab_size, shape)
        mask = (random.random(shape) < MASKED).astype(np.int64)
        mask[:, : config.n_conditioning_codebooks] = 0
        sizes = settings.steps, batch, time * config.n_predict, config.vocab_size
        if recorded:
            exponential = random.standard_exponential(sizes, np.float32)
            draws = Draws(exponential, random.gumbel(size=sizes[:3]).astype(np.float32))
            noise: Feeds = {"exponential": draws.exponential, "gumbel": draws.gumbel}
        else:
            draws, noise = Draws.of_seed(seed, *sizes), {"seed": np.asarray(seed, np.int64)}
        controls = {name: array for name, array in feeds.items() if name.startswith("ctrl")}

        def forward(codes: Integers, r: np.float32) -> Exact:
            given: Feeds = {"codes": codes, "r": np.full(batch, r, np.float32), **controls}
            with torch.inference_mode():
                logits = subject.run(self.reference.model, given, ())["."]
            return logits.transpose(1, 2).double().numpy()

        loop = Loop(forward, codes, mask, config.vocab_size, config.n_conditioning_codebooks, settings, draws)
        return {"codes": codes, "mask": mask, **settings.feeds(), **noise, **controls}, loop


def _judgement(tokens: int, wrong: int) -> str:
    return f"{wrong} of {tokens} tokens are not those of the loop in float64" if wrong else ""
