"""What a verification found, as plain records; reports are made of nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from vampconv.verify.bounds import Bounds


class Verdict(StrEnum):
    """How far a value is from the truth: within its bound, within four times of it, or beyond."""

    PASS = "pass"  # noqa: S105 - a verdict
    WARN = "warn"
    FAIL = "fail"


def worst(verdicts: Iterator[Verdict] | Sequence[Verdict]) -> Verdict:
    """The gravest of some verdicts; of none, a pass."""
    order = list(Verdict)
    return order[max((order.index(v) for v in verdicts), default=0)]


@dataclass(frozen=True)
class Case:
    """The input of one run: sizes and seed."""

    batch: int
    length: int
    """Time steps: frames of codes, or hops of audio."""
    seed: int

    def __str__(self) -> str:
        return f"batch {self.batch}, length {self.length}, seed {self.seed}"


@dataclass(frozen=True)
class Comparison:
    """One value of an ONNX graph, compared with its truth in float64.

    Errors are relative L2 errors; of values that are not floats, the share of elements that differ.
    """

    value: str
    """Name of the value in the ONNX graph."""
    stands_for: str
    """What it is compared with: a module's output (its path) or input (``>`` and its path); empty for a value
    inside a rule's replacement, whose truth is the graph evaluated in float64 from the reference's values."""
    module: str
    rules: tuple[str, ...]
    case: Case
    shape: tuple[int, ...]
    error_ort: float
    error_torch: float | None
    """That of torch in float32; None where it was not measured: in a value that the reference has not, if it passes."""
    bound: float
    """``max(4·e, 16·2⁻²⁴)``, e the largest error of torch in this value and in those of the reference that it is
    made of."""
    verdict: Verdict
    worst_index: tuple[int, ...] = ()
    worst_found: float = 0.0
    worst_truth: float = 0.0
    problem: str = ""
    """Why it fails whatever the error: shape, dtype, a non-finite value, nothing to compare."""

    @property
    def ratio(self) -> float:
        """Error of ONNX Runtime over its bound."""
        return self.error_ort / self.bound


@dataclass(frozen=True)
class Explained:
    """A value, or a module's call, that is not compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class Coverage:
    """What was compared of a graph's values and of the reference's module calls."""

    values: int
    values_compared: int
    values_explained: tuple[Explained, ...]
    calls: int
    calls_compared: int
    calls_explained: tuple[Explained, ...]
    unaccounted: tuple[str, ...]
    """Values and calls that are neither: each of them is a failure."""

    @property
    def share(self) -> float:
        """Compared values over all."""
        return self.values_compared / self.values if self.values else 0.0


@dataclass(frozen=True)
class Tokens:
    """Agreement of discrete choices: arg-max of logits, or codes of an encoder."""

    positions: int
    equal: int
    ties: int
    """Positions that differ, where float64 scores differ by no more than the measured error."""
    real: int
    """Positions that differ beyond that."""
    kl: float | None = None
    """Mean Kullback-Leibler divergence of the distributions, in nats."""


@dataclass(frozen=True)
class WeightCheck:
    """One weight of the bundle against its recomputation from the checkpoint."""

    file: str
    name: str
    sources: tuple[str, ...]
    ulps: int
    """Largest distance in units in the last place."""
    sha256_stored: str
    sha256_recomputed: str
    verdict: Verdict
    problem: str = ""


@dataclass(frozen=True)
class NonFinite:
    """The first producer of a NaN or an infinity."""

    side: str
    """``graph``, ``reference`` (in float64), or ``reference in float32``: whose it is."""
    value: str
    module: str
    case: Case


@dataclass(frozen=True)
class HeadRoom:
    """The largest magnitude of a value, beside what float16 can hold."""

    value: str
    module: str
    largest: float


@dataclass(frozen=True)
class Fault:
    """A region whose output is wrong although its inputs are the reference's own."""

    value: str
    stands_for: str
    module: str
    error: float
    """Relative L2 error in float64, of the region alone, on those of its inputs that show it most."""
    rules: tuple[str, ...]
    """Rules without which the region is right; if there are none, all that made it."""
    proven: bool
    """Whether the cause was found by compiling the region again."""
    cause: str = ""
    """In words."""
    repro: str = ""
    """Directory of the minimal reproduction."""


@dataclass(frozen=True)
class Sound:
    """Decoded audio of the reference and of ONNX Runtime, side by side."""

    part: str
    snr_db: float
    largest_difference: float
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class LoopCheck:
    """A sampling loop against the loop in float64 around the reference, or a whole graph against its parts."""

    file: str
    tokens: int
    """How many were compared."""
    wrong: int
    problem: str = ""
    against: str = "as in float64"


@dataclass
class PartResult:
    """All that was found of one model of the bundle."""

    part: str
    comparisons: list[Comparison] = field(default_factory=list)
    coverage: Coverage | None = None
    tokens: Tokens | None = None
    weights: list[WeightCheck] = field(default_factory=list)
    non_finite: list[NonFinite] = field(default_factory=list)
    head_room: list[HeadRoom] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    sounds: list[Sound] = field(default_factory=list)
    loops: list[LoopCheck] = field(default_factory=list)
    """The sampling loops around this model."""
    heat_maps: dict[str, list[list[float]]] = field(default_factory=dict)
    """Of the worst values: mean relative error by [time, feature] cell."""
    problems: list[str] = field(default_factory=list)
    """Failures that belong to no single value: coverage, outputs that change when tapped, real flips."""
    bounds: Bounds | None = None
    """What holds of a part in another precision than float32, where a token that differs is no failure by itself."""
    seconds: float = 0.0
    taps_agree: bool | None = None
    """Whether the tapped run's outputs equal the shipped session's bit for bit; None where nobody looked."""

    def beyond(self) -> list[str]:
        """What is wrong with the choice of tokens."""
        found, bounds = self.tokens, self.bounds
        if found is None:
            return []
        if bounds is None:
            return [f"{found.real:,} token{'s' * (found.real != 1)} REAL"] if found.real else []
        wrong = []
        if found.real > bounds.flips(found.positions):
            agreement = 1 - found.real / found.positions
            told = f"{agreement:.1%} of {found.positions} tokens agree"
            wrong.append(f"{told}, and {bounds.agreement:.0%} must in {bounds.precision}")
        if found.kl is None or not found.kl <= bounds.divergence:
            told = f"the distributions diverge by {found.kl} nats"
            wrong.append(f"{told}, and {bounds.divergence} is the most in {bounds.precision}")
        return wrong

    @property
    def verdict(self) -> Verdict:
        unsure = self.coverage is not None and self.coverage.unaccounted
        flipped = self.beyond()
        if (
            self.problems
            or self.faults
            or unsure
            or flipped
            or self.taps_agree is False
            or any(loop.problem for loop in self.loops)
            or not self.comparisons
        ):
            return Verdict.FAIL
        return worst([*(c.verdict for c in self.comparisons), *(w.verdict for w in self.weights)])


@dataclass
class Verification:
    """The whole result."""

    bundle: str
    parts: list[PartResult]
    environment: Mapping[str, str]
    """Versions, processor, threads, options."""
    inputs: Mapping[str, str]
    """Checkpoints and files with their sha256, as they are now."""
    problems: list[str] = field(default_factory=list)
    """Failures that belong to no part: a hash that is not the manifest's, a part that cannot be verified."""
    ledger: Sequence[Mapping[str, Any]] = ()
    """The manifest's checkpoints with the fate of every tensor."""
    seconds: float = 0.0

    @property
    def verdict(self) -> Verdict:
        if self.problems or not self.parts:
            return Verdict.FAIL
        return worst([part.verdict for part in self.parts])
