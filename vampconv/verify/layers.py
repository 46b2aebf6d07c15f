"""One part of a bundle, value by value, against the reference."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnxruntime import GraphOptimizationLevel
from torch import Tensor

from vampconv.errors import InputOutputError
from vampconv.runtime.session import LOADING_ERRORS
from vampconv.verify.anchors import read_anchors
from vampconv.verify.bounds import Bounds, reduced
from vampconv.verify.compare import Measured, compare, relative
from vampconv.verify.coverage import LEAST, cover, shortcomings, unfounded
from vampconv.verify.evaluation import Evaluator
from vampconv.verify.evaluation.declared import AsDeclared, has_float16
from vampconv.verify.extremes import Extremes
from vampconv.verify.fates import REMOVED
from vampconv.verify.provenance import false_notes, module_told
from vampconv.verify.records import batches, codec_of, row_of, sound_of
from vampconv.verify.regions import Regions
from vampconv.verify.result import Case, Coverage, Fault, PartResult, Verdict
from vampconv.verify.side import FAILURES, References, Side
from vampconv.verify.subjects import Decoder, Encoder, Transformer, codes_fit
from vampconv.verify.taps import Taps
from vampconv.verify.tokens import added, judge_codes, judge_logits
from vampconv.verify.truth import arranged

Array = NDArray[Any]
SHORT = (13, 64)
"""Fewest and most steps that a case has for regions to be read."""
BATCH = 1 << 28
"""Bytes of them whose truth is held."""
AT_ONCE = 1 << 29
"""Bytes of tapped values that are held at a time."""
WORKERS = 2
"""Values that are compared at a time."""


class PartVerifier:
    """Verifies one ONNX model.

    Parameters
    ----------
    references
        What it is, and the truth.
    path
        The model.
    layerwise
        Whether to compare every value, or the outputs only.
    threads, level
        Of ONNX Runtime: how many, and what it optimises.
    bounds
        What holds of a part that is in another precision than float32.
    precise
        Names of the rules that brought that precision.

    """

    def __init__(
        self,
        references: References,
        path: Path,
        *,
        layerwise: bool,
        threads: int | None = None,
        level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL,
        advance: Callable[[int], None] = lambda _: None,
        bounds: Bounds | None = None,
        precise: Collection[str] = (),
    ) -> None:
        self.references, self.subject = references, references.subject
        self.path, self.layerwise, self.advance = path, layerwise, advance
        self.threads, self.level = threads, level
        self.result = PartResult(self.subject.part)
        self.model = self._load()
        self.result.bounds = bounds
        self.reduced = None if bounds is None else reduced(self.model, bounds, precise)
        self.anchors = read_anchors(self.model)
        self.truth = Side(references.exact, Evaluator(self.model, path.parent, torch.float64))
        self.rival = Side(references.near, Evaluator(self.model, path.parent, torch.float32))
        self.extremes = Extremes()

    def _load(self) -> onnx.ModelProto:
        """The model without its weights; an empty one if it cannot be read."""
        try:
            return onnx.load(self.path, load_external_data=False)
        except (OSError, DecodeError):
            self._problem(f"{self.path.name} cannot be read")
            return onnx.ModelProto()

    def run(self, cases: Sequence[Case]) -> PartResult:
        """Verify the part on all cases."""
        start = time.perf_counter()
        try:
            self.references.exact.build_ahead()
            with Taps(self.path, self.threads, self.level) as taps:
                for case in cases:
                    self._case(taps, case)
                    self.advance(1)
                if self.layerwise:
                    for problem in false_notes(self.model, self.references.exact.model):
                        self._problem(problem)
                    self._cover(taps, cases[-1])
                for problem in self.result.beyond() if self.result.bounds else ():
                    self._problem(problem)
        except (InputOutputError, *LOADING_ERRORS) as error:
            told = str(error).strip().splitlines()[0]
            module = module_told(self.model, told)
            self._problem(f"ONNX Runtime cannot run it: {told}{f' (in {module})' * bool(module)}")
        if self.layerwise:  # of a graph that cannot be run, too: they say where
            self._read_regions(cases)
        self.extremes.put_into(self.result)
        self.result.seconds = time.perf_counter() - start
        return self.result

    def _case(self, taps: Taps, case: Case) -> None:
        feeds = self.subject.feeds(case)
        outputs = taps.outputs(feeds)
        if self.layerwise:
            taps.close()  # its weights are loaded again piece by piece
        found = list(outputs.values())
        self.truth.run(self.anchors, feeds, found)
        for name in unfounded(self.anchors, self.truth.record):
            self._problem(f"output {name} is not said to be what the reference puts out")
        self.levels = self.rival.errors(self.anchors, feeds, found, self.truth.known)
        if self.layerwise:
            for group in taps.chunks(feeds, AT_ONCE, outputs):
                for few in batches(group, BATCH):
                    self._compare(few, case)
                del group, few
            self.result.taps_agree = not taps.touched
            if taps.touched:
                self._problem(f"{min(taps.touched)} changes when values are tapped ({case})")
        else:
            self._compare(outputs, case)
        self._tokens(outputs, case)

    def _compare(self, group: Mapping[str, Array], case: Case) -> None:
        places = self.anchors.places
        names = [name for name in group if name in places]
        exact = self._values(self.truth, names)
        with ThreadPoolExecutor(WORKERS) as pool:
            measure = partial(self._compare_one, group, exact)
            compared = dict(zip(exact, pool.map(measure, exact), strict=True))
        for name, (level, measured) in compared.items():
            if measured.verdict is not Verdict.PASS and name not in self.levels:
                own = self._own_level(name, exact[name])
                measured = compare(group[name], exact[name], own, level, self._allowed(name))
            self.result.comparisons.append(row_of(places[name], case, measured))
            row = self.result.comparisons[-1]
            self.extremes.see(row, group[name], exact[name], measured.largest)
            for other, order in places[name].stands_for[1:]:
                again = self.truth.record.values.get(other)
                if again is None or not torch.equal(arranged(again, order), exact[name]):
                    self._problem(f"{name} is said to be {other} as well, which is another value")
        for name in names:
            for other, _ in places[name].stands_for:
                if other not in self.truth.record.values:
                    self._problem(f"{name} is said to be {other}, which the reference has not")

    def _compare_one(
        self, group: Mapping[str, Array], exact: Mapping[str, Tensor], name: str
    ) -> tuple[float, Measured]:
        """The largest error of torch in what a value is made of, and how far the value is from its truth."""
        level = max((self.levels.get(n, 0.0) for n in self.anchors.sources[name]), default=0.0)
        return level, compare(group[name], exact[name], self.levels.get(name), level, self._allowed(name))

    def _allowed(self, name: str) -> float | None:
        """The error that the precision brings to a value."""
        is_reduced = self.reduced is not None and name in self.reduced.values
        return self.reduced.bounds.error if self.reduced is not None and is_reduced else None

    def _own_level(self, name: str, truth: Tensor) -> float:
        """The error of torch in a value that only the graph has."""
        self.rival.recall()
        near = self._values(self.rival, [name]).get(name)
        sound = near is not None and truth.is_floating_point() and near.shape == truth.shape
        return relative(near, truth) if sound and near is not None else 0.0

    def _values(self, side: Side, names: Sequence[str]) -> dict[str, Tensor]:
        """Values of the graph in the side's precision, but for those that cannot be computed."""
        try:
            return side.values(names)
        except FAILURES as error:
            self._problem(f"a value cannot be computed: {str(error).strip().splitlines()[0]}")
        return {name: side.known[name] for name in names if name in side.known}

    def _tokens(self, outputs: Mapping[str, Array], case: Case) -> None:
        subject, result = self.subject, self.result
        found = next(iter(outputs.values()))
        if isinstance(subject, Transformer):
            sides = [side.record.values["."].transpose(1, 2) for side in (self.truth, self.rival)]
            if found.shape == tuple(sides[0].shape):
                result.tokens = added(result.tokens, judge_logits(found, sides[0], sides[1]))
        elif isinstance(subject, Encoder):
            z = [(codec_of(s.reference.model), s.record.values["encoder"]) for s in (self.truth, self.rival)]
            if codes_fit(z[0][0], found, z[0][1]):
                with torch.inference_mode():
                    result.tokens = added(result.tokens, judge_codes(found, *z))
        elif isinstance(subject, Decoder):
            result.sounds.append(sound_of(subject.part, found, self.truth.record.values["."]))
        if result.tokens is not None and result.tokens.real and result.bounds is None:
            self._problem(f"{result.tokens.real} tokens differ beyond ties, first in {case}")

    def _cover(self, taps: Taps, case: Case) -> None:
        """Account for every value; where ONNX Runtime's fusions leave too few, also compare those without them.

        So, too, where it removed a value of the reference as though that were another one.
        """

        def covered() -> Coverage:
            compared = {c.value for c in self.result.comparisons}
            return cover(self.anchors, compared, taps.swallowed, self.truth.record)

        coverage = covered()
        passed_over = {n for n, fate in taps.swallowed.items() if fate.startswith(REMOVED)}
        if coverage.share < LEAST or passed_over & self.anchors.anchored.keys():
            feeds = self.subject.feeds(case)
            with Taps(self.path, self.threads, GraphOptimizationLevel.ORT_DISABLE_ALL) as plain:
                for group in plain.chunks(feeds, AT_ONCE):
                    swallowed = {name: array for name, array in group.items() if name in taps.swallowed}
                    for few in batches(swallowed, BATCH):
                        self._compare(few, case)
            coverage = covered()
        if coverage.share < LEAST and has_float16(self.model):
            self._compare_as_declared(set(taps.swallowed) - {c.value for c in self.result.comparisons}, case)
            coverage = covered()
        self.result.coverage = coverage
        for problem in shortcomings(coverage):
            self._problem(problem)

    def _compare_as_declared(self, names: Collection[str], case: Case) -> None:
        """Compare values that ONNX Runtime does not have, for on this processor it computes float16 in float32.

        Each is computed in the types that the graph declares, from those of the reference's values that are nearest.
        """
        graph = AsDeclared(self.model, self.path.parent)
        near = {n: x.float() if x.is_floating_point() else x for n, x in self.truth.known.items()}
        for name in self.anchors.places:
            if name in names:
                self._compare({name: graph.values([name], near)[name].numpy()}, case)

    def regions(self) -> Regions:
        """The regions of the graph, for the last case."""
        return Regions(self.anchors, self.truth.graph, self.truth.known)

    def _read_regions(self, cases: Sequence[Case]) -> None:
        """Feed each region the reference's own inputs, of one case that is short."""
        short = [case for case in cases if SHORT[0] <= case.batch * case.length <= SHORT[1]]
        case = min(short, key=lambda c: c.batch * c.length, default=Case(1, SHORT[0], 0))
        self.truth.run(self.anchors, self.subject.feeds(case), [])
        regions = self.regions()
        for place in regions:
            small = regions.read_small(place, self.truth.record, self.truth.reference.model)
            wrong = [r for r in (regions.read(place), small) if r is not None and r.wrong]
            if self.reduced is not None and self.reduced.rules & set(regions.rules_inside(place)):
                wrong = [r for r in wrong if r.problem or not r.error <= self.reduced.bounds.error]
            if wrong:
                error = max(wrong, key=lambda reading: reading.error).error
                fault = Fault(
                    place.name,
                    place.stands_for[0][0],
                    place.module,
                    error,
                    regions.rules_inside(place),
                    proven=False,
                )
                self.result.faults.append(fault)
        if self.result.faults:
            self._problem(f"{self.result.faults[0].stands_for} is wrong by itself ({case})")

    def _problem(self, problem: str) -> None:
        if problem not in self.result.problems:
            self.result.problems.append(problem)
