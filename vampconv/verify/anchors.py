"""Which values of a graph the reference has as well, read from the graph itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import onnx

from vampconv.dialect.builder import FUSED, MODULE, VALUE
from vampconv.rewrite.trace import RULES


@dataclass(frozen=True)
class Place:
    """Where a value comes from."""

    name: str
    module: str
    rules: tuple[str, ...]
    stands_for: tuple[tuple[str, str], ...]
    """Names of the reference's values that it is, each with the order of its axes here."""


@dataclass(frozen=True)
class Anchors:
    """The values of a graph, in its order, and what became of the reference's values that are not there."""

    places: dict[str, Place]
    fused: dict[str, str]
    """Names of the reference's values, and the rule or op that has them inside."""
    sources: dict[str, frozenset[str]]
    """Of each value, those that the reference has and that it is made of, by way of others only."""
    outputs: tuple[str, ...]
    """Of the graph."""

    @property
    def anchored(self) -> dict[str, tuple[tuple[str, str], ...]]:
        """Values of the graph that the reference has."""
        return {name: place.stands_for for name, place in self.places.items() if place.stands_for}

    @property
    def wanted(self) -> frozenset[str]:
        """Names of the reference's values that stand somewhere in the graph."""
        return frozenset(name for names in self.anchored.values() for name, _ in names)


def read_anchors(model: onnx.ModelProto) -> Anchors:
    """The anchors of a graph, from its nodes' metadata."""
    places: dict[str, Place] = {}
    fused: dict[str, str] = {}
    sources: dict[str, frozenset[str]] = {}
    for node in model.graph.node:
        notes = {p.key: p.value for p in node.metadata_props}
        for word in notes.get(FUSED, "").split():
            name, _, why = word.partition("=")
            fused[name] = why
        below = frozenset().union(
            *({n} if n in places and places[n].stands_for else sources.get(n, ()) for n in node.input)
        )
        sources |= dict.fromkeys(node.output, below)
        rules = tuple(r for r in notes.get(RULES, "").split(",") if r)
        for index, output in enumerate(node.output):
            known = tuple(_names(notes.get(VALUE, ""))) if index == 0 else ()
            places[output] = Place(output, notes.get(MODULE, ""), rules, known)
    outputs = tuple(output.name for output in model.graph.output)
    return Anchors({name: place for name, place in places.items() if name}, fused, sources, outputs)


def _names(words: str) -> Iterator[tuple[str, str]]:
    for word in words.split():
        name, _, order = word.partition("@")
        yield name, order
