"""A graph in pieces that are run one after another, so that no more is in memory than a few of its values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, ValueInfoProto

from vampconv.verify.fates import producers, read

Array = np.ndarray[Any, Any]
FIRST = 8
"""Nodes of the first piece."""


class Segments:
    """Consecutive nodes of a graph as models of their own.

    Parameters
    ----------
    model
        Its nodes in topological order.
    wanted
        Names of values that are to be seen, or constants.
    whole
        Names of values that cannot be handed from one model to another.

    """

    def __init__(self, model: ModelProto, wanted: set[str], whole: set[str]) -> None:
        self.wanted, self._model, self._nodes = wanted, model, list(model.graph.node)
        self._constants = {c.name: c for c in model.graph.initializer}
        self._inputs = {value.name: value for value in model.graph.input}
        known = {*producers(self._nodes), *self._constants, *self._inputs}  # others are those of bodies
        self._reads = [known & set(read(node)) for node in self._nodes]
        self._last = {name: index for index, names in enumerate(self._reads) for name in names}
        self._uncut = set[int]()
        for index, node in enumerate(self._nodes):
            for name in whole & set(node.output) & self._last.keys():
                self._uncut |= set(range(index + 1, self._last[name] + 1))

    def __len__(self) -> int:
        return len(self._nodes)

    def end(self, start: int, count: int) -> int:
        """Where a piece ends that has at least so many nodes."""
        stop = min(start + max(count, 1), len(self))
        while stop in self._uncut:
            stop += 1
        return stop

    def needs(self, start: int, stop: int) -> set[str]:
        """What nodes of a piece take from those before, and from the inputs."""
        nodes = self._nodes[start:stop]
        return set().union(*self._reads[start:stop]) - producers(nodes).keys() - self._constants.keys()

    def gives(self, start: int, stop: int) -> list[str]:
        """What a piece is run for: wanted values, and those that later ones take; the first has the constants."""
        made = [*(self._constants if not start else ()), *producers(self._nodes[start:stop])]
        constants = self._constants.keys()
        return [n for n in made if n in self.wanted or (n not in constants and self.is_taken(n, stop))]

    def is_taken(self, name: str, stop: int) -> bool:
        """Whether a node from there on takes a value."""
        return self._last.get(name, -1) >= stop

    def cut(self, start: int, stop: int, given: Mapping[str, Array]) -> ModelProto:
        """The model of a piece, whose inputs are what it needs of `given`."""
        model, nodes = ModelProto(), self._nodes[start:stop]
        own = self._model.graph
        model.CopyFrom(ModelProto(ir_version=self._model.ir_version))
        model.opset_import.extend(self._model.opset_import)
        model.functions.extend(self._model.functions)
        model.graph.name = own.name
        model.graph.node.extend(nodes)
        gives = self.gives(start, stop)
        used = set().union(*self._reads[start:stop], gives)
        model.graph.initializer.extend(c for n, c in self._constants.items() if n in used)
        model.graph.sparse_initializer.extend(c for c in own.sparse_initializer if c.values.name in used)
        model.graph.input.extend(self._input(name, given[name]) for name in sorted(self.needs(start, stop)))
        model.graph.output.extend(ValueInfoProto(name=name) for name in gives)
        return model

    def _input(self, name: str, array: Array) -> ValueInfoProto:
        if name in self._inputs:
            return self._inputs[name]
        element = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
        return onnx.helper.make_tensor_value_info(name, element, array.shape)


class Grouping:
    """Values in a wished order, in groups of limited size, from values as they come.

    Parameters
    ----------
    names
        In the order that is wished.
    limit_bytes
        What the values of a group may have together; a value that is larger makes a group of its own.

    """

    def __init__(self, names: Iterable[str], limit_bytes: int) -> None:
        self._names, self._limit = list(names)[::-1], limit_bytes
        self._waiting: dict[str, Array] = {}
        self._group: dict[str, Array] = {}
        self._size = 0

    def put(self, name: str, value: Array) -> None:
        """Take in a value."""
        self._waiting[name] = value

    def full(self) -> Iterator[dict[str, Array]]:
        """Groups that are full; whoever takes one has it alone."""
        while self._names and self._names[-1] in self._waiting:
            name = self._names.pop()
            array = self._waiting.pop(name)
            if self._group and self._size + array.nbytes > self._limit:
                yield self.rest()
            self._group[name] = array
            self._size += array.nbytes

    def rest(self) -> dict[str, Array]:
        """The group that is not full."""
        group, self._group, self._size = self._group, {}, 0
        return group
