"""Families of faults: a function that puts one fault into a graph, and says which module is wrong now."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx

from vampconv.bench.mutations.editor import Array, Editor

Put = Callable[[Editor], str | tuple[str, ...]]
"""Changes the graph; gives the path of the module that the fault is in, or of all if it is in several."""

TRANSFORMERS = frozenset({"coarse", "c2f"})
CODEC = frozenset({"encoder", "decoder"})
ENCODER, DECODER, BEATS = frozenset({"encoder"}), frozenset({"decoder"}), frozenset({"wavebeat"})
AUDIO = CODEC | BEATS
ALL = TRANSFORMERS | AUDIO


@dataclass(frozen=True)
class Family:
    """Faults of one kind.

    Attributes
    ----------
    name
        What is wrong, in a few words.
    group
        The chapter of the table that it stands in.
    parts
        Parts of a bundle that may have it.
    is_certain
        Whether it is a fault by definition, however little it shows on ordinary input: a wrong epsilon, or
        a claim about the graph that is not true.

    """

    name: str
    group: str
    parts: frozenset[str]
    put: Put
    is_certain: bool = False

    def mutate(self, clean: onnx.ModelProto, state: dict[str, Array], model: str, seed: int) -> Mutant:
        """A graph with one fault.

        Raises
        ------
        NotApplicableError
            If the graph has no place for one.

        """
        key = zlib.crc32(f"{self.group}/{self.name}/{model}".encode())
        editor = Editor(clean, state, np.random.default_rng((seed, key)))
        modules = self.put(editor)
        return Mutant(self, model, seed, (modules,) if isinstance(modules, str) else modules, editor.finish())


@dataclass(frozen=True)
class Mutant:
    """A graph with a fault, and the modules that it is in."""

    family: Family
    model: str
    seed: int
    modules: tuple[str, ...]
    graph: onnx.ModelProto

    def __str__(self) -> str:
        return f"{self.family.group}: {self.family.name} ({self.model}, seed {self.seed})"


FAMILIES: list[Family] = []


def fault(group: str, parts: frozenset[str] = ALL, *, is_certain: bool = False) -> Callable[[Put], Put]:
    """Make a family of a function; its name is what is wrong."""

    def enter(put: Put) -> Put:
        name = put.__name__.strip("_").replace("_", " ")
        FAMILIES.append(Family(name, group, parts, put, is_certain))
        return put

    return enter
