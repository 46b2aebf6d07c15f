"""Editing an ONNX graph that has its weights in memory: the words that faults are written with."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, NodeProto, helper, numpy_helper

from vampconv.dialect.builder import FUSED, MODULE, VALUE

Array = NDArray[Any]
T = TypeVar("T")
NEW = "/mutation/"
"""Begins the names of what an editor adds."""


class NotApplicableError(Exception):
    """A graph has no place for a fault of this family."""


class Editor:
    """A copy of a graph, to be changed in one place.

    Parameters
    ----------
    clean
        The graph, which is left as it is.
    state
        Tensors of the checkpoint that it was made from.
    random
        Chooses the place.

    """

    def __init__(
        self, clean: onnx.ModelProto, state: Mapping[str, Array], random: np.random.Generator
    ) -> None:
        self.model = onnx.ModelProto()
        self.model.CopyFrom(clean)
        self.graph = self.model.graph
        self.state, self.random = state, random
        self._constants = {tensor.name: tensor for tensor in self.graph.initializer}
        self._added = 0

    def pick(self, places: Sequence[T]) -> T:
        """One of some places."""
        if not places:
            raise NotApplicableError
        return places[int(self.random.integers(len(places)))]

    def first(self, places: Iterable[T]) -> T:
        """The first of some places."""
        for place in places:
            return place
        raise NotApplicableError

    def nodes(self, op_types: str = "", within: str = ".*") -> list[NodeProto]:
        """Nodes of any of the types, of modules that a regular expression matches as a whole."""
        wanted, pattern = op_types.split(), re.compile(within)
        fits = [n for n in self.graph.node if not wanted or n.op_type in wanted]
        return [n for n in fits if pattern.fullmatch(module_of(n))]

    def node(self, op_types: str = "", within: str = ".*") -> NodeProto:
        """One of these nodes."""
        return self.pick(self.nodes(op_types, within))

    def maker(self, value: str) -> NodeProto:
        """The node that puts out a value."""
        found = next((n for n in self.graph.node if value in n.output), None)
        if found is None:
            raise NotApplicableError
        return found

    def takers(self, value: str) -> list[NodeProto]:
        """Nodes that take a value."""
        return [n for n in self.graph.node if value in n.input]

    def is_constant(self, name: str) -> bool:
        return name in self._constants

    def array(self, name: str) -> Array:
        """A constant."""
        if name not in self._constants:
            raise NotApplicableError
        return np.array(numpy_helper.to_array(self._constants[name]))

    def put(self, name: str, array: Array) -> None:
        """Change a constant, wherever it is used."""
        self._constants[name].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), name))

    def drop(self, name: str) -> None:
        """Take a constant away, and leave the nodes that use it as they are."""
        self.graph.initializer.remove(self._constants.pop(name))

    def constant(self, array: Array | float | Sequence[int]) -> str:
        """A new constant: floats become float32, integers int64."""
        new = np.asarray(array)
        new = new.astype(np.float32) if new.dtype == np.float64 else new
        name = self._name("constant")
        self.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(new), name))
        self._constants[name] = self.graph.initializer[-1]
        return name

    def constants(self, node: NodeProto) -> list[int]:
        """Which inputs of a node are constants."""
        return [i for i, name in enumerate(node.input) if name in self._constants]

    def give(self, node: NodeProto, index: int, array: Array | float | Sequence[int]) -> None:
        """Give one node another constant."""
        node.input[index] = self.constant(array)

    def scalar_of(self, node: NodeProto) -> int:
        """The input of a node that is a constant of one element."""
        return self.pick([i for i in self.constants(node) if self.array(node.input[i]).size == 1])

    def attribute(self, node: NodeProto, name: str) -> Any:
        found = next((a for a in node.attribute if a.name == name), None)
        if found is None:
            raise NotApplicableError
        return helper.get_attribute_value(found)

    def set(self, node: NodeProto, **attributes: Any) -> None:
        """Set attributes; None takes one away."""
        kept = [a for a in node.attribute if a.name not in attributes]
        new = [helper.make_attribute(n, v) for n, v in attributes.items() if v is not None]
        _replace(node.attribute, [*kept, *new])

    def become(self, node: NodeProto, op_type: str, *inputs: str, **attributes: Any) -> None:
        """Make another operator of a node; its outputs and what is said of them stay."""
        node.op_type, node.domain = op_type, ""
        _replace(node.input, list(inputs))
        _replace(node.attribute, [helper.make_attribute(n, v) for n, v in attributes.items()])

    def bypass(self, node: NodeProto, index: int = 0) -> None:
        """Let a node pass one of its inputs on."""
        self.become(node, "Identity", node.input[index])

    def before(self, node: NodeProto, index: int, op_type: str, *others: str, **attributes: Any) -> NodeProto:
        """Put an operator before one input of one node; `others` are its further inputs."""
        new = self._make(op_type, [node.input[index], *others], self._name("value"), node, attributes)
        node.input[index] = new.output[0]
        return self._insert(new, self._index(node))

    def after(self, value: str, op_type: str, *others: str, **attributes: Any) -> NodeProto:
        """Put an operator after a value, for all that take it; what is said of the value is said of the result."""
        maker = self.maker(value)
        inner = self._name("value")
        maker.output[list(maker.output).index(value)] = inner
        new = self._make(op_type, [inner, *others], value, maker, attributes)
        for note in [p for p in maker.metadata_props if p.key in (VALUE, FUSED)]:
            new.metadata_props.append(note)
            maker.metadata_props.remove(note)
        return self._insert(new, self._index(maker) + 1)

    def compute(self, near: NodeProto, op_type: str, *inputs: str, **attributes: Any) -> str:
        """A new value, computed right before a node and of its module."""
        new = self._make(op_type, list(inputs), self._name("value"), near, attributes)
        return self._insert(new, self._index(near)).output[0]

    def weights(self) -> Iterator[tuple[str, NodeProto]]:
        """The checkpoint's weights as they stand in the graph, each with the first node that takes it."""
        taken: dict[str, NodeProto] = {}
        for node in self.graph.node:
            for name in node.input:
                taken.setdefault(name, node)
        for name, tensor in self._constants.items():
            if name in taken and tensor.data_type == onnx.TensorProto.FLOAT and not name.startswith("/"):
                yield name, taken[name]

    def finish(self) -> onnx.ModelProto:
        """The graph, each node after those that it takes values from, and otherwise in the old order."""
        waiting = list(self.graph.node)
        made = {value.name for value in self.graph.input} | self._constants.keys() | {""}
        ordered: list[NodeProto] = []
        while waiting:
            ready = next((n for n in waiting if made.issuperset(n.input)), waiting[0])
            waiting.remove(ready)
            made.update(ready.output)
            ordered.append(ready)
        copies = [NodeProto.FromString(node.SerializeToString()) for node in ordered]
        _replace(self.graph.node, copies)
        return self.model

    def _make(
        self, op_type: str, inputs: list[str], output: str, like: NodeProto, attributes: Mapping[str, Any]
    ) -> NodeProto:
        new = helper.make_node(op_type, inputs, [output], name=self._name(op_type), **attributes)
        new.metadata_props.extend(p for p in like.metadata_props if p.key not in (VALUE, FUSED))
        return new

    def _insert(self, node: NodeProto, index: int) -> NodeProto:
        self.graph.node.insert(index, node)
        return self.graph.node[index]

    def _index(self, node: NodeProto) -> int:
        return next(i for i, n in enumerate(self.graph.node) if n.output[0] == node.output[0])

    def _name(self, what: str) -> str:
        self._added += 1
        return f"{NEW}{what}.{self._added}"


def module_of(node: NodeProto) -> str:
    """Path of the module that a node stands for."""
    return next((p.value for p in node.metadata_props if p.key == MODULE), "")


def attribute_of(node: NodeProto, name: str) -> AttributeProto | None:
    return next((a for a in node.attribute if a.name == name), None)


def _replace(field: Any, new: list[Any]) -> None:
    del field[:]
    field.extend(new)
