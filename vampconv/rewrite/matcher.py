"""Patterns and their matching: the one module that knows onnxscript's rewriter."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnxscript.rewriter import pattern as onnxscript_pattern
from onnxscript.rewriter._pattern_ir import BacktrackingOr

from vampconv.dialect import Ops
from vampconv.dialect.builder import Way, dims
from vampconv.rewrite.rule import Rule

OpId = tuple[str, str]

COMMUTATIVE: frozenset[OpId] = frozenset({("", "Add"), ("", "Mul"), ("", "Max"), ("", "Min"), ("", "Equal")})
"""Operations whose two operands may be written in either order."""


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
            yield from self._matcher.at(roots)


@lru_cache(maxsize=1024)
def _pattern_of(rule: type[Rule]) -> Any:
    return onnxscript_pattern.Pattern(_as_onnxscript(rule))._target_pattern


class _Matcher(onnxscript_pattern.SimplePatternMatcher):
    """onnxscript's matcher, for any number of roots, each a node of its own.

    Operands of `COMMUTATIVE` operations are taken in either order, numbers are compared exactly, and an
    attribute that is not written down is the default that ONNX gives it.
    """

    def __init__(self, rule: type[Rule]) -> None:
        super().__init__(_pattern_of(rule))  # type: ignore[arg-type]
        self._choices: list[int] = []
        self._ways: list[int] = []

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

    def at(self, roots: tuple[ir.Node, ...]) -> Iterator[Occurrence]:
        """Every way to match, each order of the operands that were met tried in turn."""
        graph = roots[0].graph
        assert isinstance(graph, ir.Graph)
        self._graph = graph
        self._tracer = None
        self._choices = []
        found: list[Occurrence] = []
        while True:
            self._init_match(0)
            self._ways = []
            match = self._multi_match(roots, check_removable=True)
            if match:
                occurrence = Occurrence(dict(match.bindings), match.nodes, match.outputs)
                if all(occurrence.bindings != other.bindings for other in found):
                    found.append(occurrence)
                    yield occurrence
            tried = self._choices[: len(self._ways)]
            while tried and tried[-1] + 1 == self._ways[len(tried) - 1]:
                tried.pop()
            if not tried:
                return
            self._choices = [*tried[:-1], tried[-1] + 1]

    def _choose(self, ways: int) -> int:
        """Which of several ways to take at the choice that is met next, this time."""
        if len(self._ways) == len(self._choices):
            self._choices.append(0)
        self._ways.append(ways)
        return self._choices[len(self._ways) - 1]

    def _match_node(self, pattern_node: Any, node: ir.Node) -> bool:
        known = self._match.lookup_node(pattern_node)
        if known is not None:
            return known is node or self.fail("one node of the pattern stands for two of the graph", node)
        if node.graph is not self._graph:
            return self.fail("it is outside the body", node)
        identifier = node.domain, node.op_type
        if pattern_node.op_identifier()[:2] != identifier or not self._match_attributes(pattern_node, node):
            return self.fail(f"not {pattern_node.op} as in the pattern", node)
        self._match.bind_node(pattern_node, node)
        operands = pattern_node.inputs
        if identifier in COMMUTATIVE and self._choose(2):
            operands = operands[::-1]
        for operand, value in itertools.zip_longest(operands, node.inputs):
            if operand is None:
                if value is not None:
                    return self.fail("an input more than the pattern has", node)
            elif not self._match_value(operand, value):
                return False
        return len(pattern_node.outputs) == len(node.outputs) and all(
            self._match.bind_value(pattern, value)
            for pattern, value in zip(pattern_node.outputs, node.outputs, strict=True)
        )

    def _match_value(self, pattern_value: Any, value: ir.Value | None) -> bool:
        if isinstance(pattern_value, BacktrackingOr):
            ways = pattern_value._values
            return self._match_value(ways[self._choose(len(ways))], value)
        return super()._match_value(pattern_value, value)

    def _match_attributes(self, pattern_node: Any, node: ir.Node) -> bool:
        opset = self._graph.opset_imports.get("", 0) if not node.domain else 0
        usual = {**defaults(node.op_type, opset), **implied(node)}
        given = {**usual, **node.attributes}
        for name, pattern in pattern_node.attributes.items():
            if name not in given or not pattern.matches(given[name]):
                return False
            if pattern.name is not None and not self._match.bind(pattern.name, given[name]):
                return False
        rest = node.attributes.keys() - pattern_node.attributes.keys()
        return all(name in usual and usual[name].value == node.attributes[name].value for name in rest)

    def _match_constant(self, pattern_constant: Any, value: ir.Value) -> bool:
        """A number is equal in the precision of the graph's constant, and a list is one in length, too."""
        tensor, wanted = value.const_value, np.asarray(pattern_constant.value)
        if tensor is None or tensor.dtype.numpy().kind not in "fiu" or tuple(tensor.shape) != wanted.shape:
            return self.fail(f"not the constant {wanted}")
        found = tensor.numpy()
        with np.errstate(over="ignore"):
            equal = np.array_equal(found, wanted.astype(found.dtype) if found.dtype.kind == "f" else wanted)
        return equal or self.fail(f"not the constant {wanted}")


@cache
def defaults(op_type: str, opset: int) -> Mapping[str, ir.Attr]:
    """What a standard operation's attributes are where they are not given; none at opset 0."""
    if opset < 1 or not onnx.defs.has(op_type, opset):
        return {}
    attributes = onnx.defs.get_schema(op_type, opset).attributes
    given = {name: attribute.default_value for name, attribute in attributes.items()}
    return {n: ir.serde.deserialize_attribute(d) for n, d in given.items() if d.type}


def implied(node: ir.Node) -> Mapping[str, ir.Attr]:
    """What a convolution's attributes are where they are not given, as far as its weight's shape is known."""
    if node.domain or node.op_type not in ("Conv", "ConvTranspose") or len(node.inputs) < 2:
        return {}
    shape = dims(node.inputs[1]) if node.inputs[1] is not None else None
    if shape is None or len(shape) < 3:
        return {}
    kernel, axes = [d for d in shape[2:] if isinstance(d, int)], len(shape) - 2
    usual = {"strides": [1] * axes, "dilations": [1] * axes, "pads": [0] * (2 * axes)}
    if node.op_type == "ConvTranspose":
        usual["output_padding"] = [0] * axes
    if len(kernel) == axes:
        usual["kernel_shape"] = kernel
    return {name: ir.AttrInt64s(name, value) for name, value in usual.items()}


def _as_onnxscript(rule: type[Rule]) -> Any:
    """`rule.before` as the pattern function that onnxscript calls with its own builder."""

    def pattern(builder: Any, *variables: Any) -> Any:
        def emit(
            domain: str, op_type: str, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: int
        ) -> Any:
            strict = {"_domain": domain, "_outputs": outputs, "_allow_other_attributes": False}
            return getattr(builder, op_type)(*inputs, **strict, **attributes)

        return rule.before(Ops(emit, take=_all_of), *variables)

    pattern.__signature__ = inspect.signature(rule.before)  # type: ignore[attr-defined]
    return pattern


def _all_of(ways: tuple[Way, ...]) -> BacktrackingOr:
    return BacktrackingOr([way() for way in ways])
