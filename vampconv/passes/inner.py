"""Graphs inside a graph: the bodies of Loop, Scan and If, each as a model for rules and passes.

A body may use values of the graphs around it by their names. To what works on the body they are inputs: their
types and constants are known, and what makes them is not looked at.
"""

from __future__ import annotations

from collections.abc import Iterator

import onnx_ir as ir

INNER = "vampconv.inner"
"""Key of the notes on a graph that is inside another."""


def views(model: ir.Model) -> list[ir.Model]:
    """The model, and each graph inside it as a model, outer ones first; their opsets are those of the model."""
    found = [model]
    for graph in _below(model.graph):
        graph.opset_imports.update(model.graph.opset_imports)
        graph.meta[INNER] = True
        found.append(ir.Model(graph, ir_version=model.ir_version or 0))
    return found


def is_inner(graph: ir.Graph | ir.Function | None) -> bool:
    """Whether a graph is inside another."""
    return graph is not None and INNER in graph.meta


def bodies(node: ir.Node) -> Iterator[tuple[str, int, ir.Graph]]:
    """The graphs in a node's attributes, each with the attribute's name and its place there."""
    for name, attribute in node.attributes.items():
        if attribute.is_ref():
            continue
        if attribute.type is ir.AttributeType.GRAPH:
            yield name, 0, attribute.as_graph()
        elif attribute.type is ir.AttributeType.GRAPHS:
            for index, graph in enumerate(attribute.as_graphs()):
                yield name, index, graph


def inner_graphs(graph: ir.Graph) -> Iterator[ir.Graph]:
    """The graphs right inside a graph."""
    for node in graph:
        yield from (body for _, _, body in bodies(node))


def _below(graph: ir.Graph) -> Iterator[ir.Graph]:
    for body in inner_graphs(graph):
        yield body
        yield from _below(body)


def names_inside(graph: ir.Graph) -> set[str]:
    """The names that values of the graphs inside a graph have."""
    found: set[str | None] = set()
    for body in _below(graph):
        found |= {v.name for v in (*body.inputs, *body.initializers.values())}
        found |= {v.name for node in body for v in node.outputs}
    return {name for name in found if name}


def forget(node: ir.Node) -> None:
    """Let the graphs inside a node that goes away use nothing any more."""
    for _, _, body in bodies(node):
        for inner in body:
            forget(inner)
            for index in range(len(inner.inputs)):
                inner.replace_input_with(index, None)
