"""Small graphs as trees of text, outputs first: what is used twice is drawn once and referred to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import onnx_ir as ir

WIDEST = 4
"""Elements of a constant that is written out."""


def draw_graph(outputs: Sequence[ir.Value], names: Mapping[ir.Value, str]) -> list[str]:
    """The trees of a graph's outputs, one line for every node or leaf; `names` are of leaves."""
    return _Drawing(outputs, names).lines


class _Drawing:
    def __init__(self, outputs: Sequence[ir.Value], names: Mapping[ir.Value, str]) -> None:
        self.names = names
        self.uses = _uses(outputs, names)
        self.marks: dict[ir.Node, int] = {}
        self.lines: list[str] = []
        for output in outputs:
            self._draw(output, "", "")

    def _draw(self, value: ir.Value, lead: str, below: str) -> None:
        node = value.producer()
        if value in self.names or node is None:
            self.lines.append(lead + self._leaf(value))
            return
        part = f".{value.index()}" if len(node.outputs) > 1 else ""
        if node in self.marks:
            self.lines.append(f"{lead}↑ #{self.marks[node]}{part} {node.op_type}")
            return
        mark = ""
        if self.uses[node] > 1:
            self.marks[node] = len(self.marks) + 1
            mark = f"#{self.marks[node]}{part} "
        self.lines.append(lead + mark + node_label(node))
        inputs = [v for v in node.inputs if v is not None]
        for index, inner in enumerate(inputs):
            last = index == len(inputs) - 1
            self._draw(inner, below + ("└─ " if last else "├─ "), below + ("   " if last else "│  "))

    def _leaf(self, value: ir.Value) -> str:
        if value in self.names:
            return self.names[value]
        tensor = value.const_value
        if tensor is None:
            return value.name or "?"
        if tensor.size <= WIDEST:
            number = tensor.numpy().tolist()
            return f"{number:.7g}" if isinstance(number, float) else str(number)
        return f"{tensor.dtype.name.lower()} {list(tensor.shape)}"


def node_label(node: ir.Node) -> str:
    """Domain, type and attributes."""
    attributes = ", ".join(f"{name}={_plain(a)}" for name, a in node.attributes.items())
    domain = f"{node.domain}." if node.domain else ""
    return f"{domain}{node.op_type}" + (f"({attributes})" if attributes else "")


def _plain(attribute: ir.Attr) -> str:
    value = attribute.value
    if isinstance(value, float):
        return f"{value:.7g}"
    return str(list(value)) if isinstance(value, tuple) else str(value)


def _uses(outputs: Sequence[ir.Value], names: Mapping[ir.Value, str]) -> Counter[ir.Node]:
    """How often each node's outputs are read, or put out."""
    uses: Counter[ir.Node] = Counter()
    todo = list(outputs)
    while todo:
        value = todo.pop()
        node = value.producer()
        if node is None or value in names:
            continue
        uses[node] += 1
        if uses[node] == 1:
            todo += [v for v in node.inputs if v is not None]
    return uses
