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
class Step:
    """A forward of the model in a loop: codes [batch, n_codebooks, time], noise level, logits."""

    codes: Integers
    r: np.float32
    logits: Exact


Way = list[Step]


@dataclass(frozen=True)
class Clear:
    """A run of the loop whose truth is known.

    Attributes
    ----------
    feeds
        Inputs but for the noise.
    seed, draws
        The noise: what the first makes a graph draw, and that itself.
    wanted
        The codes that come out.

    """

    feeds: Feeds
    seed: int
    draws: Draws
    wanted: Integers

    def given(self, *, recorded: bool) -> Feeds:
        """Inputs of the graph that takes recorded noise, or of the one that draws its own."""
        if recorded:
            return {**self.feeds, "exponential": self.draws.exponential, "gumbel": self.draws.gumbel}
        return {**self.feeds, "seed": np.asarray(self.seed, np.int64)}


class Shipped:
    """The transformer of a bundle, whose own errors are not the loops'.

    Parameters
    ----------
    path
        The model.
    threads
        Of ONNX Runtime.

    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        self.session = _open(path, threads)
        self.names = {port.name for port in self.session.get_inputs()}

    def __call__(self, feeds: Feeds) -> Exact:
        """Logits [batch, rows, vocab]."""
        (logits,) = self.session.run(None, {name: x for name, x in feeds.items() if name in self.names})
        return np.asarray(logits, np.float64)


def _open(path: Path, threads: int | None) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


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
    near
        The transformer in float32, which looks for clear cases in half the time.
    shipped
        The transformer of the bundle, if the loops are to be compared with the loop around that.

    """

    bundle: Path
    reference: Reference
    threads: int | None = None
    near: Reference | None = None
    shipped: Shipped | None = None

    def run(self, loops: Mapping[str, Mapping[str, Any]]) -> Iterator[LoopCheck]:
        """Check the loops of these entries of the manifest; all are given the same cases."""
        cases = [self._clear_case(settings) for settings in SETTINGS] if loops else []
        for entry in loops.values():
            tokens = wrong = 0
            problem = ""
            try:
                session = _open(self.bundle / entry["file"], self.threads)
                for case in cases:
                    given = case.given(recorded=entry["draws"] == "recorded")
                    found = np.asarray(session.run(None, given)[0])
                    tokens += case.wanted.size
                    same = found.shape == case.wanted.shape
                    wrong += int((found != case.wanted).sum()) if same else case.wanted.size
                del session
            except LOADING_ERRORS as error:
                problem = f"ONNX Runtime cannot run it: {str(error).strip().splitlines()[0]}"
            told = problem or self._judgement(tokens, wrong)
            yield LoopCheck(entry["file"], tokens, wrong, told, self._against)

    @property
    def _against(self) -> str:
        """What the loops are compared with, in words."""
        return "as in float64" if self.shipped is None else f"as around {self._subject.part}.onnx"

    def _clear_case(self, settings: Settings) -> Clear:
        """Inputs whose truth leaves no decision in doubt, or else the clearest of some, and that truth.

        What float32 finds unclear is passed over; what it finds clear must be so in float64.
        """
        for seed in range(ATTEMPTS):
            way: Way = []
            if self.near is not None and self._run(self.near, settings, seed, MARGIN, way) is None:
                continue
            found = self._run(self.reference, settings, seed, MARGIN, self._ahead(way, seed))
            if found is not None:
                return found[1]
        unclear = (self._run(self.reference, settings, seed, -np.inf) for seed in range(ATTEMPTS))
        return max((run for run in unclear if run is not None), key=lambda run: run[0])[1]

    def _run(
        self, reference: Reference, settings: Settings, seed: int, least: float, way: Way | None = None
    ) -> tuple[float, Clear] | None:
        """The margin of a case, and its truth; None if it is not above the least.

        Forwards that are on the way already are taken from there, and others are put there.
        """
        subject = self._subject
        config, random = subject.config, np.random.default_rng((7, seed))
        feeds = self._feeds(seed)
        batch, _, time = shape = feeds["codes"].shape
        codes = random.integers(0, config.vocab_size, shape)
        mask = (random.random(shape) < MASKED).astype(np.int64)
        mask[:, : config.n_conditioning_codebooks] = 0
        draws = Draws.of_seed(seed, settings.steps, batch, time * config.n_predict, config.vocab_size)
        known = [] if way is None else way

        def forward(codes: Integers, r: np.float32) -> Exact:
            for step in known:
                if step.r == r and np.array_equal(step.codes, codes):
                    return step.logits
            known.append(Step(codes, r, self._logits(reference, codes, np.full(batch, r, np.float32), seed)))
            return known[-1].logits

        loop = Loop(forward, codes, mask, config.vocab_size, config.n_conditioning_codebooks, settings, draws)
        wanted = loop.run_clearly(least)
        if wanted is None:
            return None
        inputs = {"codes": codes, "mask": mask, **settings.feeds(), **_controls(feeds)}
        return loop.margin, Clear(inputs, seed, draws, wanted)

    def _ahead(self, way: Way, seed: int) -> Way:
        """The same steps with float64's logits, of one forward for all of them."""
        if not way:
            return []
        codes = np.concatenate([step.codes for step in way])
        r = np.repeat(np.array([step.r for step in way]), len(way[0].codes))
        logits = np.split(self._logits(self.reference, codes, r, seed), len(way))
        return [Step(step.codes, step.r, exact) for step, exact in zip(way, logits, strict=True)]

    def _logits(self, reference: Reference, codes: Integers, r: Array, seed: int) -> Exact:
        """Logits [batch, rows, vocab] of codes [batch, n_codebooks, time], a multiple of the batch of a case."""
        controls = _controls(self._feeds(seed))
        times = len(codes) // CASE.batch
        given: Feeds = {
            "codes": codes,
            "r": r,
            **{n: np.concatenate([x] * times) for n, x in controls.items()},
        }
        if self.shipped is not None:
            return self.shipped(given)
        with torch.inference_mode():
            logits = self._subject.run(reference.model, given, ())["."]
        return logits.transpose(1, 2).double().numpy()

    def _judgement(self, tokens: int, wrong: int) -> str:
        around = "in float64" if self.shipped is None else "around the part"
        return f"{wrong} of {tokens} tokens are not those of the loop {around}" if wrong else ""

    @property
    def _subject(self) -> Transformer:
        subject = self.reference.subject
        assert isinstance(subject, Transformer)
        return subject

    def _feeds(self, seed: int) -> Feeds:
        return self._subject.feeds(replace(CASE, seed=seed))


def _controls(feeds: Feeds) -> Feeds:
    return {name: array for name, array in feeds.items() if name.startswith("ctrl")}
