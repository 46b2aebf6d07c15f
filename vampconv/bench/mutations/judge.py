"""What verification makes of a mutant: whether it is caught, and whether the right module is named."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import onnx

from vampconv.bench.mutations.difference import Differences
from vampconv.bench.mutations.family import Mutant
from vampconv.bench.mutations.goldens import CASES, Goldens, Model
from vampconv.dialect.builder import FUSED, MODULE
from vampconv.errors import VampconvError
from vampconv.verify.layers import PartVerifier
from vampconv.verify.provenance import UNUSED
from vampconv.verify.result import PartResult, Verdict
from vampconv.verify.side import FAILURES

CRASHES = (*FAILURES, KeyError, AttributeError, AssertionError)
CRASHED = "the verifier crashed"
UNKNOWN = "?"
"""Stands for the module where a verification names none."""


@dataclass(frozen=True)
class Outcome:
    """What became of one mutant."""

    group: str
    family: str
    model: str
    seed: int
    modules: tuple[str, ...]
    """Where the fault is."""
    equivalent: bool
    """Whether no number of the graph differs by more than rounding."""
    caught: bool
    blamed: tuple[str, ...]
    """The modules that verification names first; see `blame`."""
    attributed: bool
    by_weights: bool
    """Whether a comparison of constants alone would show it."""
    told: str
    """The first problem or comparison that failed."""
    seconds: float

    def __str__(self) -> str:
        return f"{self.group}: {self.family} ({self.model}, seed {self.seed})"


class Judge:
    """Verifies mutants of one model."""

    def __init__(self, goldens: Goldens, model: Model) -> None:
        self.goldens, self.model = goldens, model
        self.clean, self.crash = goldens.graph(model), ""
        self.differences = Differences(self.clean, goldens.references(model).subject)

    def judge(self, mutant: Mutant) -> Outcome:
        """Verify one mutant, value by value."""
        start = time.perf_counter()
        path = self.goldens.save(mutant.graph)
        self.crash = ""
        result = self._verify(path)
        blamed = blame(self.clean, mutant.graph, result)
        equivalent = not mutant.family.is_certain and not self.differences.found(mutant.graph)
        return Outcome(
            mutant.family.group,
            mutant.family.name,
            mutant.model,
            mutant.seed,
            mutant.modules,
            equivalent,
            result.verdict is Verdict.FAIL and not self.crash,
            blamed,
            any(is_same_layer(module, one) for module in mutant.modules for one in blamed),
            self.differences.in_constants(mutant.graph),
            self.crash or told(result),
            time.perf_counter() - start,
        )

    def _verify(self, path: Path) -> PartResult:
        try:
            return verify_part(self.goldens, self.model, path)
        except VampconvError as error:  # the command ends with it, and with its exit code
            return PartResult(self.model.part, problems=[error.problem])
        except CRASHES as error:  # the verifier's own fault, which counts as not caught
            self.crash = f"{CRASHED}: {error!r}"
            return PartResult(self.model.part)


def verify_part(goldens: Goldens, model: Model, path: Path) -> PartResult:
    """Layerwise verification of a model in the place of the converted one, on one thread."""
    verifier = PartVerifier(goldens.references(model), path, layerwise=True, threads=1)
    return verifier.run(CASES)


def blame(clean: onnx.ModelProto, mutant: onnx.ModelProto, result: PartResult) -> tuple[str, ...]:
    """The modules that a verification names: those of the first region that is wrong by itself, or else of the first
    value, in the order of the graph, that fails; or else of the value or node that the first problem names.

    A region has the module of its end, and those that are said to be inside of it, for rules have fused them.
    Modules of values are read from the clean graph, for the notes of the mutant may be its fault.
    """
    modules = {**_modules(mutant), **_modules(clean)}
    if result.faults:
        return modules.get(result.faults[0].value, (UNKNOWN,))
    order = {name: i for i, name in enumerate(_modules(mutant))}
    failed = [c for c in result.comparisons if c.verdict is Verdict.FAIL]
    if failed:
        return modules.get(min(failed, key=lambda c: order.get(c.value, len(order))).value, (UNKNOWN,))
    words = set(re.findall(r"[^\s'\"(),:]+", result.problems[0])) if result.problems else set()
    known = [word for word in words if word in modules]
    return modules[max(known, key=len)] if known else (UNKNOWN,)


def _modules(graph: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """Of each value, in order, its module and those fused into it; then of nodes and of modules by their names."""
    values: dict[str, tuple[str, ...]] = {}
    others: dict[str, tuple[str, ...]] = {}
    for node in graph.graph.node:
        notes = {p.key: p.value for p in node.metadata_props}
        fused = [word.partition("=") for word in notes.get(FUSED, "").split()]
        module = notes.get(MODULE, "")
        modules = (module, *(path for path, _, why in fused if why != UNUSED))
        values |= dict.fromkeys(node.output, modules)
        others |= {node.name: modules, module: (module,), **{path: (module, path) for path, _, _ in fused}}
    return values | {name: modules for name, modules in others.items() if name and name not in values}


def is_same_layer(module: str, blamed: str) -> bool:
    """Whether the blamed module is the one with the fault, or above or below it within the same layer."""
    if blamed == module:
        return True
    above, below = sorted((module, blamed), key=len)
    return below.startswith(f"{above}.") and above.startswith(layer_of(below))


def layer_of(path: str) -> str:
    """The layer that a module belongs to: up to its last number; in a sequence inside a layer, that layer.

    ``transformer.layers.2`` of ``transformer.layers.2.self_attn.fc``, ``encoder.block.1.block.0`` of
    ``encoder.block.1.block.0.block.3``; of a path without numbers, what it is directly inside of.
    """
    parts = path.split(".")
    numbers = [i for i, part in enumerate(parts) if part.isdigit()]
    if not numbers:
        return parts[0]
    last = numbers[-2] if len(numbers) > 1 and numbers[-1] == len(parts) - 1 else numbers[-1]
    return ".".join(parts[: last + 1])


def told(result: PartResult) -> str:
    """The gravest thing that a verification tells, in a line."""
    failed = [c for c in result.comparisons if c.verdict is Verdict.FAIL]
    if failed:
        first = failed[0]
        return f"{first.value} ({first.case}): {first.problem or f'{first.ratio:.3g} times the bound'}"
    return result.problems[0] if result.problems else result.verdict.value
