"""Names of a loop's nodes and values, each given once in all its graphs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import onnx_ir as ir

from vampconv.loop.body import MODULE
from vampconv.passes.inner import bodies
from vampconv.rewrite.trace import module_of


def name_loop(model: ir.Model, weights: Sequence[ir.Value], constants: Sequence[ir.Value]) -> None:
    """Name what is not of the transformer, whose names stay, and register the weights and constants that are used."""
    graph = model.graph
    outputs = list(graph.outputs)
    numbers: dict[str, int] = {}

    def free(name: str) -> str:
        number = numbers[name] = numbers.get(name, -1) + 1
        return f"{name}.{number}" if number else name

    for inner, node in _nodes(graph, f"/{MODULE}"):
        for value in (v for _, _, body in bodies(node) for v in body.inputs):
            value.name = free(value.name or "")
        if module_of(node) == MODULE:
            node.name = free(f"{inner}/{node.op_type}")
            for index, value in enumerate(node.outputs):
                if value not in outputs:
                    value.name = f"{node.name}_output_{index}"
    for value in constants:
        value.name = free(f"/{MODULE}/constant")
    for value in (*weights, *constants):
        if value.uses():
            graph.register_initializer(value)


def _nodes(graph: ir.Graph, path: str) -> Iterator[tuple[str, ir.Node]]:
    """Every node of the graph and of those inside it, with the path of its graph."""
    for node in graph:
        yield path, node
        for name, _, body in bodies(node):
            yield from _nodes(body, f"{path}/{name}")
