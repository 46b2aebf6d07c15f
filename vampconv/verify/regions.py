"""Regions: what lies between one value that the reference has and those that it is made of, each on its own.

A region is fed the reference's own inputs in float64, so an error of its output is its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from vampconv.reference.layers import LoRALinear, WeightNormConv1d
from vampconv.verify.anchors import Anchors, Place
from vampconv.verify.compare import relative
from vampconv.verify.evaluate import Evaluator
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

    """

    def __init__(self, anchors: Anchors, graph: Evaluator, known: Mapping[str, Tensor]) -> None:
        self.anchors, self.graph, self.known = anchors, graph, known

    def __iter__(self) -> Iterator[Place]:
        return (p for name, p in self.anchors.places.items() if p.stands_for and name in self.known)

    def read(self, place: Place) -> Reading:
        """The error of a region."""
        return self._read(place, self.others(place), self.known[place.name])

    def others(self, place: Place) -> dict[str, Tensor]:
        """All that is known but the region's own output."""
        return {name: value for name, value in self.known.items() if name != place.name}

    def rules_inside(self, place: Place) -> tuple[str, ...]:
        """Rules that made the nodes of a region."""
        nodes = self.graph.nodes([place.name], self.others(place).keys())
        places = self.anchors.places
        names = [rule for node in nodes for output in node.output[:1] for rule in places[output].rules]
        return tuple(dict.fromkeys(names))

    def borders(self, place: Place) -> list[str]:
        """Values that the region reads."""
        return sorted(self.graph.needs([place.name], self.others(place).keys()))

    def read_small(self, place: Place, record: Record, model: torch.nn.Module) -> Reading | None:
        """The error for inputs that are multiplied by `SMALL`; None if no module of the model is that region.

        Linear maps are left out: they are what they are at any scale.
        """
        borders = [n for n in self.borders(place) if self.known[n].is_floating_point()]
        path = _module_of(place, borders, self.anchors, record)
        if path is None or len(borders) != 1 or isinstance(model.get_submodule(path), LINEAR):
            return None
        (border,) = borders
        small = self.known[border] * SMALL
        with torch.inference_mode():
            truth = model.get_submodule(path)(record.values[f">{path}"] * SMALL)
        truth = truth[0] if isinstance(truth, tuple) else truth
        order = next(o for n, o in place.stands_for if _stands(n, path, record))
        return self._read(place, {**self.others(place), border: small}, arranged(truth, order))

    def _read(self, place: Place, known: Mapping[str, Tensor], truth: Tensor) -> Reading:
        try:
            with torch.inference_mode():
                found = self.graph.values([place.name], known)[place.name]
        except FAILURES as error:
            return Reading(place, float("inf"), f"it cannot be computed: {str(error).splitlines()[0]}")
        if found.shape != truth.shape:
            return Reading(place, float("inf"), f"its shape is {list(found.shape)}, not {list(truth.shape)}")
        if not truth.is_floating_point():
            return Reading(place, float((found != truth).double().mean()))
        if not torch.equal(torch.isfinite(found), torch.isfinite(truth)):
            return Reading(place, float("inf"), "elements are not finite on one side only")
        return Reading(place, relative(found, truth))


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
                taken is record.values.get(name) for name, _ in anchors.places[border].stands_for
            ):
                return path
    return None
