"""Patterns and their matching: the one module that knows onnxscript's rewriter."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import onnx_ir as ir
from onnxscript.rewriter import pattern as onnxscript_pattern

from vampconv.dialect import Ops
from vampconv.rewrite.rule import Rule

OpId = tuple[str, str]


class Occurrence:
    """A place where a pattern was found.

    Attributes
    ----------
    bindings
        Values by the pattern's names; attributes as Python values.
    nodes
        The matched nodes; they may be removed.
    outputs
        The values that the replacement stands for, in the pattern's order.

    """

    def __init__(
        self, bindings: dict[str, Any], nodes: Sequence[ir.Node], outputs: Sequence[ir.Value]
    ) -> None:
        self.bindings = {k: v.value if isinstance(v, ir.Attr) else v for k, v in bindings.items()}
        self.nodes = tuple(nodes)
        self.outputs = tuple(outputs)


class Pattern:
    """The pattern that a rule's ``before`` writes down."""

    def __init__(self, rule: type[Rule]) -> None:
        self.parameters = tuple(inspect.signature(rule.before).parameters)[1:]
        self._matcher = _Matcher(rule)
        self.roots: tuple[OpId, ...] = self._matcher.roots()

    def find(self, node: ir.Node) -> Iterator[Occurrence]:
        """Occurrences whose first root is `node`."""
        for roots in self._matcher.candidates(node):
            found = self._matcher.at(roots)
            if found is not None:
                yield found


class _Matcher(onnxscript_pattern.SimplePatternMatcher):
    """onnxscript's matcher, for any number of roots, each a node of its own."""

    def __init__(self, rule: type[Rule]) -> None:
        built = onnxscript_pattern.Pattern(_as_onnxscript(rule))
        super().__init__(built._target_pattern)

    def roots(self) -> tuple[OpId, ...]:
        identifiers = [node.op_identifier() for node in self.pattern.output_nodes]
        return tuple((i[0], i[1]) for i in identifiers if i is not None)

    def candidates(self, node: ir.Node) -> Iterator[tuple[ir.Node, ...]]:
        graph = node.graph
        assert graph is not None
        others = self.roots()[1:]
        pools = [[n for n in graph if (n.domain, n.op_type) == root] for root in others]
        for combination in itertools.product([node], *pools):
            if len(set(combination)) == len(combination):
                yield combination

    def at(self, roots: tuple[ir.Node, ...]) -> Occurrence | None:
        graph = roots[0].graph
        assert isinstance(graph, ir.Graph)
        self._graph = graph
        self._tracer = None
        self._init_match(0)
        match = self._multi_match(roots, check_removable=True)
        if not match:
            return None
        return Occurrence(dict(match.bindings), match.nodes, match.outputs)


def _as_onnxscript(rule: type[Rule]) -> Any:
    """`rule.before` as the pattern function that onnxscript calls with its own builder."""

    def pattern(builder: Any, *variables: Any) -> Any:
        def emit(
            domain: str, op_type: str, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: int
        ) -> Any:
            strict = {"_domain": domain, "_outputs": outputs, "_allow_other_attributes": False}
            return getattr(builder, op_type)(*inputs, **strict, **attributes)

        return rule.before(Ops(emit), *variables)

    pattern.__signature__ = inspect.signature(rule.before)  # type: ignore[attr-defined]
    return pattern
