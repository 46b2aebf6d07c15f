"""Models without a fault, verified again and again: whatever fails here is a false alarm."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product

import numpy as np
from onnxruntime import GraphOptimizationLevel

from vampconv.bench.mutations.goldens import MODELS, Goldens, Model
from vampconv.bench.mutations.judge import told
from vampconv.opsets import newest
from vampconv.verify.layers import PartVerifier
from vampconv.verify.result import Case, Verdict

LEVELS = ("DISABLE_ALL", "BASIC", "EXTENDED", "ALL")
THREADS = (1, 2)
OPSETS = tuple(sorted({17, 18, 20, 23, newest()}))
LENGTHS = (1, 2, 5, 13, 23, 40, 64)
BATCHES = (1, 2, 3)
CASES = 3
"""Inputs of each run."""


@dataclass(frozen=True)
class CleanRun:
    """A verification of a model without a fault."""

    model: Model
    level: str
    threads: int
    cases: tuple[Case, ...]
    verdict: Verdict
    told: str
    warned: tuple[str, ...]
    """Values that are off by more than their bound, and by no more than four times of it."""
    seconds: float

    def __str__(self) -> str:
        return f"{self.model.name}, {self.level}, {self.threads} threads, {'; '.join(map(str, self.cases))}"


def clean_runs(
    goldens: Goldens, count: int, seed: int, advance: Callable[[], None] = lambda: None
) -> Iterator[CleanRun]:
    """Verify so many models, drawn from all of opsets, levels of optimisation and threads in turn."""
    random = np.random.default_rng(seed)
    models = dict.fromkeys((m.checkpoint, m.part) for m in MODELS)
    every = list(product(models, OPSETS, LEVELS, THREADS))
    order = [every[i] for i in random.permutation(len(every))]
    for index in range(count):
        (checkpoint, part), opset, level, threads = order[index % len(order)]
        cases = tuple(
            Case(int(random.choice(BATCHES)), int(random.choice(LENGTHS)), int(random.integers(1000)))
            for _ in range(CASES)
        )
        yield clean_run(goldens, Model(checkpoint, part, opset), level, threads, cases)
        advance()


def clean_run(goldens: Goldens, model: Model, level: str, threads: int, cases: tuple[Case, ...]) -> CleanRun:
    """Verify a converted model as it is."""
    start = time.perf_counter()
    result = PartVerifier(
        goldens.references(model),
        goldens.path(model),
        layerwise=True,
        threads=threads,
        level=getattr(GraphOptimizationLevel, f"ORT_{'ENABLE_' * (level != 'DISABLE_ALL')}{level}"),
    ).run(cases)
    warned = [c for c in result.comparisons if c.verdict is Verdict.WARN]
    return CleanRun(
        model,
        level,
        threads,
        cases,
        result.verdict,
        told(result) if result.verdict is Verdict.FAIL else "",
        tuple(f"{c.value} ({c.case}): {c.ratio:.2f} times the bound" for c in warned),
        time.perf_counter() - start,
    )
