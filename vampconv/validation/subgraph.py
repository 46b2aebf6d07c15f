"""Cuts the two sides of a firing out of the graph, as small models of their own; the graph stays as it is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from vampconv.dialect import DOMAIN
from vampconv.dialect.op import VERSION, Array


def free_values(nodes: Iterable[ir.Node], outputs: Sequence[ir.Value] = ()) -> list[ir.Value]:
    """What the nodes read, or hand through, and do not make themselves."""
    nodes = list(nodes)
    made = {v for n in nodes for v in n.outputs}
    read = (v for values in (*(n.inputs for n in nodes), outputs) for v in values)
    return [v for v in dict.fromkeys(read) if v is not None and v not in made]


def cut(
    nodes: Iterable[ir.Node],
    outputs: Sequence[ir.Value],
    opset: int,
    constants: Mapping[ir.Value, Array] | None = None,
) -> tuple[ir.Model, dict[ir.Value, str]]:
    """A model of copies of these nodes, and the names in it of what they read.

    What they read becomes inputs, or, for those in `constants`, initializers of these values.
    """
    nodes, constants = list(nodes), constants or {}
    copies: dict[ir.Value, ir.Value] = {}
    names: dict[ir.Value, str] = {}
    for index, value in enumerate(free_values(nodes, outputs)):
        names[value] = f"v{index}"
        copies[value] = _leaf(value, names[value], constants.get(value))
    copied: list[ir.Node] = []
    for node in _in_order(nodes):
        inputs = [None if v is None else copies[v] for v in node.inputs]
        copy = ir.Node(
            node.domain, node.op_type, inputs, node.attributes.values(), num_outputs=len(node.outputs)
        )
        for index, (old, new) in enumerate(zip(node.outputs, copy.outputs, strict=True)):
            new.name = f"n{len(copied)}.{index}"
            new.type, new.shape = old.type, old.shape
            copies[old] = new
        copied.append(copy)
    results = [copies[v] for v in outputs]
    initializers = [v for v in copies.values() if v.const_value is not None]
    graph = ir.Graph(
        [copies[v] for v in names if copies[v].const_value is None],
        [],
        nodes=copied,
        opset_imports={"": opset, DOMAIN: VERSION}
        | {n.domain: 1 for n in nodes if n.domain not in ("", DOMAIN)},
        name="firing",
        initializers=initializers,
    )
    model = ir.Model(graph, ir_version=10)
    graph.outputs.extend(results)
    own_outputs(graph)
    return model, names


def own_outputs(graph: ir.Graph) -> None:
    """Let every output of the graph be made by a node, and be another than the others."""
    seen: set[ir.Value] = set()
    for index, value in enumerate(graph.outputs):
        if value in seen or value.producer() is None:
            identity = ir.node("Identity", [value])
            identity.outputs[0].type, identity.outputs[0].shape = value.type, value.shape
            identity.outputs[0].name = f"output{index}"
            graph.append(identity)
            graph.outputs[index] = identity.outputs[0]
        seen.add(value)


def _leaf(value: ir.Value, name: str, array: Array | None) -> ir.Value:
    if array is None:
        return ir.Value(name=name, shape=value.shape, type=value.type)
    tensor = ir.tensor(np.ascontiguousarray(array) if array.ndim else array, name=name)
    return ir.Value(
        name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )


def _in_order(nodes: Sequence[ir.Node]) -> list[ir.Node]:
    """The nodes, each after those whose outputs it reads."""
    makers = {v: n for n in nodes for v in n.outputs}
    ordered: dict[ir.Node, None] = {}
    todo = list(reversed(nodes))
    while todo:
        node = todo[-1]
        missing = [
            m for v in node.inputs if v is not None and (m := makers.get(v)) is not None and m not in ordered
        ]
        if missing:
            todo += missing
        else:
            ordered[todo.pop()] = None
    return list(ordered)


class Constants:
    """Which values of a graph are computed from constants alone, and their arrays, by the ops' definitions."""

    def __init__(self) -> None:
        self._constant: dict[ir.Value, bool] = {}

    def holds(self, value: ir.Value) -> bool:
        """Whether a value hangs on no input of the graph."""
        todo = [value]
        while todo:
            top = todo[-1]
            node = top.producer()
            inputs = [v for v in (() if node is None else node.inputs) if v is not None]
            if top in self._constant:
                todo.pop()
            elif top.const_value is not None or node is None:
                self._constant[todo.pop()] = top.const_value is not None
            elif any(self._constant.get(v) is False for v in inputs):
                self._constant[todo.pop()] = False
            elif missing := [v for v in inputs if v not in self._constant]:
                todo.append(missing[0])
            else:
                self._constant[todo.pop()] = bool(inputs) or node.op_type == "Constant"
        return self._constant[value]

    def cone(self, value: ir.Value) -> list[ir.Node]:
        """The nodes that a value is computed by."""
        found: dict[ir.Node, None] = {}
        todo = [value]
        while todo:
            node = todo.pop().producer()
            if node is not None and node not in found:
                found[node] = None
                todo += [v for v in node.inputs if v is not None]
        return list(found)
