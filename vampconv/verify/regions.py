"""Regions: what lies between one value that the reference has and those that it is made of, each on its own.

A region is fed the reference's own inputs in float64, so an error of its output is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor

from vampconv.reference.layers import LoRALinear, WeightNormConv1d
from vampconv.verify.anchors import Anchors, Place
from vampconv.verify.compare import non_finite, relative
from vampconv.verify.evaluation import Evaluator, MissingValueError
from vampconv.verify.probes import Probe, probes_of
from vampconv.verify.side import FAILURES
from vampconv.verify.truth import Record, arranged

BOUND = 4 * 2.0**-24
"""Relative L2 error of a region in float64: nothing of it is rounded but its weights, once."""
SMALL = 1e-4
"""What inputs are multiplied by to let an epsilon or a clamp show."""
LINEAR = (torch.nn.Linear, torch.nn.Conv1d, LoRALinear, WeightNormConv1d)


@dataclass(frozen=True)
class Reading:
    """The error of one region."""

    place: Place
    error: float
    problem: str = ""

    @property
    def wrong(self) -> bool:
        return not self.error <= BOUND


class Regions:
    """The regions of a graph.

    Parameters
    ----------
    anchors
        Values that the reference has.
    graph
        The graph in float64.
    known
        The graph's inputs, and its values as the reference has them in float64.
    constants
        Those that the graph itself does not have.

    """

    def __init__(
        self,
        anchors: Anchors,
        graph: Evaluator,
        known: Mapping[str, Tensor],
        constants: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        self.anchors, self.graph, self.known, self.constants = anchors, graph, known, constants

    def __iter__(self) -> Iterator[Place]:
        return (p for name, p in self.anchors.places.items() if p.stands_for and name in self.known)

    def read(self, place: Place) -> Reading:
        """The error of a region; none for a choice, which is not what it is by itself where scores are close."""
        truth = self.known[place.name]
        reading = self._read(place, {}, truth)
        chosen = not truth.is_floating_point() and any(
            self.known[name].is_floating_point() for name in self.borders(place)
        )
        return Reading(place, 0.0) if chosen and not reading.problem else reading

    def others(self, place: Place) -> dict[str, Tensor]:
        """All that is known but the region's own output."""
        given = {**self.known, **self.constants}
        return {name: value for name, value in given.items() if name != place.name}

    def rules_inside(self, place: Place) -> tuple[str, ...]:
        """Rules that made the nodes of a region; none where the graph has a gap."""
        try:
            nodes = self.graph.nodes([place.name], self.others(place).keys())
        except MissingValueError:
            return ()
        places = self.anchors.places
        names = [rule for node in nodes for output in node.output[:1] for rule in places[output].rules]
        return tuple(dict.fromkeys(names))

    def borders(self, place: Place) -> list[str]:
        """Values that the region reads; none where the graph has a gap."""
        try:
            needed = self.graph.needs([place.name], self.others(place).keys())
        except MissingValueError:
            return []
        return sorted(needed - self.constants.keys())

    def read_small(self, place: Place, record: Record, model: torch.nn.Module) -> Reading | None:
        """The largest error for inputs that ordinary ones do not reach; see `small`."""
        readings = [self._read(place, *example) for example in self._examples(place, record, model)]
        return max(readings, key=lambda reading: reading.error, default=None)

    def small(
        self, place: Place, record: Record, model: torch.nn.Module
    ) -> tuple[dict[str, Tensor], Tensor] | None:
        """Inputs that ordinary ones do not reach, and what should come out; of several, where that is most wrong.

        They are the region's input multiplied by `SMALL`, and probes; None if the region has neither.
        """
        examples = list(self._examples(place, record, model))
        return max(examples, key=lambda example: self._read(place, *example).error, default=None)

    def _examples(
        self, place: Place, record: Record, model: torch.nn.Module
    ) -> Iterator[tuple[dict[str, Tensor], Tensor]]:
        small = self._small(place, record, model)
        if small is not None:
            yield small
        for probe in probes_of(model):
            for name, order in place.stands_for:
                if name in probe.wanted:
                    given = self._given(probe)
                    if set(self.borders(place)) <= given.keys():
                        yield given, arranged(probe.wanted[name], order)

    def _given(self, probe: Probe) -> dict[str, Tensor]:
        """What a probe gives, by the names that the graph has for it."""
        given = {name: value for name, value in probe.given.items() if name in self.known}
        for value, names in self.anchors.anchored.items():
            name, order = names[0]
            if name in probe.given:
                given[value] = arranged(probe.given[name], order)
        return given

    def _small(
        self, place: Place, record: Record, model: torch.nn.Module
    ) -> tuple[dict[str, Tensor], Tensor] | None:
        """The input of a region that is a module, made small; linear maps are what they are at any scale."""
        borders = [n for n in self.borders(place) if self.known[n].is_floating_point()]
        path = _module_of(place, borders, self.anchors, record)
        if path is None or len(borders) != 1 or isinstance(model.get_submodule(path), LINEAR):
            return None
        (border,) = borders
        try:
            with torch.inference_mode():
                truth = model.get_submodule(path)(record.values[f">{path}"] * SMALL)
        except FAILURES:  # it takes more than the region does
            return None
        truth = truth[0] if isinstance(truth, tuple) else truth
        order = next(o for n, o in place.stands_for if _stands(n, path, record))
        return {border: self.known[border] * SMALL}, arranged(truth, order)

    def _read(self, place: Place, changed: Mapping[str, Tensor], truth: Tensor) -> Reading:
        try:
            with torch.inference_mode():
                found = self.graph.values([place.name], {**self.others(place), **changed})[place.name]
        except FAILURES as error:
            return Reading(place, float("inf"), f"it cannot be computed: {str(error).splitlines()[0]}")
        if found.is_floating_point() != truth.is_floating_point():
            return Reading(place, float("inf"), f"its type is {found.dtype}, not {truth.dtype}")
        if found.shape != truth.shape:
            return Reading(place, float("inf"), f"its shape is {list(found.shape)}, not {list(truth.shape)}")
        if not truth.is_floating_point():
            return Reading(place, float((found != truth).double().mean()))
        problem = non_finite(found, truth)
        return Reading(place, float("inf") if problem else relative(found, truth), problem)


def _stands(name: str, path: str, record: Record) -> bool:
    return name == path or record.same.get(path) == name


def _module_of(place: Place, borders: list[str], anchors: Anchors, record: Record) -> str | None:
    """A module that puts out the region's output and takes its one border."""
    names = {name for name, _ in place.stands_for}
    paths = [p for p in record.calls if p in names or record.same.get(p) in names]
    for path in paths:
        taken = record.values.get(f">{path}")
        for border in borders:
            if taken is not None and any(
                taken is record.values.get(name)
                for name, _ in (anchors.places[border].stands_for if border in anchors.places else ())
            ):
                return path
    return None
