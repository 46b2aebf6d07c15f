"""What became of the values that ONNX Runtime's optimised graph does not have."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from onnx import GraphProto, NodeProto

REMOVED = "removed"


class Fates:
    """What ONNX Runtime made of the values that are gone."""

    def __init__(self, shipped: GraphProto, optimised: GraphProto) -> None:
        self.before, self.after = producers(shipped.node), producers(optimised.node)
        self.constants = {constant.name for constant in optimised.initializer}
        self.consumers: dict[str, list[NodeProto]] = {}
        self.varying = {value.name for value in shipped.input}
        self.twins: dict[str, str] = {}
        seen: dict[tuple[object, ...], NodeProto] = {}
        for node in shipped.node:
            read = set(_read(node))
            for name in read:
                self.consumers.setdefault(name, []).append(node)
            if self.varying & read or any(_bodies(node)):
                self.varying |= {name for name in node.output if name}
            first = seen.setdefault(self._computation(node), node)
            if first is not node:
                self.twins |= dict(zip(node.output, first.output, strict=True))

    def _computation(self, node: NodeProto) -> tuple[object, ...]:
        attributes = sorted(a.SerializeToString(deterministic=True) for a in node.attribute)
        inputs = [self.twins.get(name, name) for name in node.input]
        return (node.domain, node.op_type, *inputs, len(node.output), *attributes)

    def of(self, name: str) -> str:
        """Why the optimised graph has not got this value."""
        first = self.twins.get(name, name)
        if twins := [n for n in self.after if n != name and self.twins.get(n, n) == first]:
            return f"the same as {twins[0]!r}, and computed once"
        heirs = self._heirs(name)
        if name not in self.varying or (heirs and self.constants.issuperset(heirs)):
            return "folded into a constant"
        if not heirs:
            return f"{REMOVED}: no output depends on it"
        fates: dict[str, str] = {}
        for heir in (heir for heir in heirs if heir in self.after):
            now = self._makers(heir)
            verb = f"{REMOVED} before" if now == [_operator(self.before[heir])] else "fused into"
            fates.setdefault(f"{verb} {' and '.join(now)}", heir)
        return ", ".join(f"{fate} of {heir!r}" for fate, heir in fates.items())

    def _makers(self, heir: str) -> list[str]:
        """Operators that now make a value of those that are still there, in order."""
        found: dict[str, None] = {}
        reached, waiting = {heir}, [heir]
        while waiting:
            node = self.after[waiting.pop(0)]
            found[_operator(node)] = None
            new = {n for n in node.input if n in self.after and n not in self.before} - reached
            reached |= new
            waiting += sorted(new)
        return list(found)[::-1]

    def _heirs(self, name: str) -> list[str]:
        """The nearest values that depend on it and are still there."""
        found: list[str] = []
        kept = self.constants | set(self.after)
        reached, waiting = {name}, [name]
        while waiting:
            for node in self.consumers.get(waiting.pop(0), []):
                new = [output for output in node.output if output and output not in reached]
                reached |= set(new)
                found += [output for output in new if output in kept]
                waiting += [output for output in new if output not in kept]
        return found


def _operator(node: NodeProto) -> str:
    return f"{node.domain}:{node.op_type}" if node.domain else node.op_type


def producers(nodes: Iterable[NodeProto]) -> dict[str, NodeProto]:
    return {name: node for node in nodes for name in node.output if name}


def _bodies(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        yield from attribute.graphs
        if attribute.HasField("g"):
            yield attribute.g


def _read(node: NodeProto) -> Iterator[str]:
    """What a node takes; its bodies may take values of the graph around them."""
    yield from node.input
    for body in _bodies(node):
        for inner in body.node:
            yield from _read(inner)


def inner(graph: GraphProto) -> Iterator[tuple[str, str]]:
    """Values inside bodies of loops and branches, each with the operator that has the body."""
    for node in graph.node:
        for body in _bodies(node):
            yield from ((name, node.op_type) for name in producers(body.node))
            yield from inner(body)
