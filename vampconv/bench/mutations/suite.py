"""The whole suite: which mutants are made, and what share of them must be caught and placed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from vampconv.bench.mutations import (  # noqa: F401 - each enters its families
    adapters,
    attention,
    beat_tracker,
    classifier,
    conditions,
    convolution,
    earlier_exporters,
    embedding,
    feed_forward,
    lengths,
    norm,
    position_bias,
    provenance,
    quantizer,
    snake,
    weights,
)
from vampconv.bench.mutations.editor import NotApplicableError
from vampconv.bench.mutations.family import FAMILIES, Family, Mutant
from vampconv.bench.mutations.goldens import MODELS, Goldens, Model
from vampconv.bench.mutations.judge import Judge, Outcome

CAUGHT, ATTRIBUTED, LEAST = 0.99, 0.95, 300
"""Shares that must be reached, of at least so many mutants."""


@dataclass(frozen=True)
class Plan:
    """A mutant to be made."""

    family: Family
    model: Model
    seed: int

    def make(self, judge: Judge) -> Mutant | None:
        """The mutant, if the model has a place for it."""
        state = judge.goldens.state(self.model)
        try:
            return self.family.mutate(judge.clean, state, self.model.name, self.seed)
        except NotApplicableError:
            return None


def plans(seed: int, count: int | None = None, *, part: str = "", only: str = "") -> list[Plan]:
    """One mutant of each family for each model that may have it; or `count` of them, spread over all families.

    Parameters
    ----------
    seed
        Of the first round; further rounds, where `count` asks for them, count up.
    count
        How many.
    part, only
        Keep to the models of a part, and to families whose group or name has this in it.

    """
    families = [f for f in FAMILIES if only in f"{f.group}: {f.name}"]
    pairs = [(f, m) for f in families for m in MODELS if m.part in f.parts and part in ("", m.part)]
    if count is None:
        return [Plan(family, model, seed) for family, model in pairs]
    shuffled = [pairs[i] for i in np.random.default_rng(seed).permutation(len(pairs))]
    turns: dict[tuple[str, str], int] = {}
    ordered = []
    for family, model in shuffled:
        key = family.group, family.name
        turns[key] = turns.get(key, 0) + 1
        ordered.append((turns[key], Plan(family, model, seed)))
    ordered.sort(key=lambda entry: entry[0])
    first = [plan for _, plan in ordered]
    rounds = range(seed, seed + 1 + (count - 1) // max(len(first), 1))
    return [Plan(p.family, p.model, s) for s in rounds for p in first][:count]


def run(
    goldens: Goldens, chosen: Sequence[Plan], advance: Callable[[], None] = lambda: None
) -> Iterator[Outcome]:
    """Judge the mutants, model by model."""
    by_model = sorted(chosen, key=lambda plan: MODELS.index(plan.model))
    for model, group in groupby(by_model, key=lambda plan: plan.model):
        judge = Judge(goldens, model)
        for plan in group:
            mutant = plan.make(judge)
            if mutant is not None:
                yield judge.judge(mutant)
            advance()


@dataclass(frozen=True)
class Tally:
    """Counts of some outcomes."""

    made: int
    equivalent: int
    caught: int
    attributed: int
    by_weights: int
    seconds: float

    @property
    def real(self) -> int:
        """Mutants that are another function."""
        return self.made - self.equivalent


def tally(outcomes: Sequence[Outcome]) -> Tally:
    """Count; equivalent mutants count as nothing else."""
    real = [o for o in outcomes if not o.equivalent]
    return Tally(
        len(outcomes),
        len(outcomes) - len(real),
        sum(o.caught for o in real),
        sum(o.caught and o.attributed for o in real),
        sum(o.by_weights for o in real),
        sum(o.seconds for o in outcomes),
    )
