"""Puts a rule's replacement into the graph, where its pattern was found."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from vampconv.dialect import NodeBuilder
from vampconv.dialect.op import VERSION
from vampconv.errors import PluginError, VampconvError
from vampconv.rewrite.conserve import changed
from vampconv.rewrite.match import Match
from vampconv.rewrite.matcher import Occurrence
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.trace import hand_down, inherit, module_of, place_of


@dataclass(frozen=True)
class Firing:
    """One application of a rule."""

    rule: str
    module: str
    dropped: tuple[tuple[str, str], ...] = ()
    """Names of the constants that the rule left out, each with its reason."""


class Observer(Protocol):
    """Sees a replacement when it is built and not yet in the graph; it must not change anything."""

    def __call__(
        self, rule: type[Rule], found: Occurrence, replacement: NodeBuilder, results: Sequence[ir.Value]
    ) -> None: ...


def replace(
    graph: ir.Graph, rule: type[Rule], found: Occurrence, match: Match, observe: Observer | None = None
) -> Firing:
    """Put the rule's replacement where its pattern was found.

    Raises
    ------
    PluginError
        If ``after`` raises, or returns something else than a value for each of the pattern's, or one of
        another type or shape.

    """
    roots = {p for v in found.outputs if (p := v.producer()) is not None}
    root = next(node for node in (roots if len(roots) == 1 else graph) if node in roots)
    module = module_of(root)
    builder = NodeBuilder(module)
    dropped = tuple((name, rule.drops[p]) for p in rule.drops for name in constants_under(found.bindings[p]))
    results = _build(rule, builder, found, match, root)
    if (fault := changed(found.outputs, results, graph.opset_imports)) is not None:
        raise PluginError(
            f"rule {rule.__name__} at {place_of(root)}: its replacement {fault}",
            "`after` must compute what `before` does, of the same type and shape",
        )
    if observe is not None:
        observe(rule, found, builder, results)
    inherit(found.nodes, builder.nodes, module, rule.__name__)
    _register(graph, builder.constants)
    graph.insert_after(root, builder.nodes)
    for old, new in zip(found.outputs, results, strict=True):
        inherit(found.nodes, _take_over(graph, old, new, root), module, rule.__name__)
    hand_down(found.nodes, found.outputs, results, rule.__name__)
    graph.remove(found.nodes, safe=True)
    if len(found.outputs) > 1:
        graph.sort()
    for node in builder.nodes:
        graph.opset_imports.setdefault(node.domain, VERSION)
    return Firing(rule.__name__, module, dropped)


def _build(
    rule: type[Rule], builder: NodeBuilder, found: Occurrence, match: Match, root: ir.Node
) -> tuple[ir.Value, ...]:
    arguments: dict[str, Any] = dict(found.bindings)
    wanted = inspect.signature(rule.after).parameters
    if "m" in wanted:
        arguments["m"] = match
    try:
        results = rule.after(builder, **{k: v for k, v in arguments.items() if k in wanted})
    except VampconvError:
        raise
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"rule {rule.__name__} at {place_of(root)}: its `after` raised {type(error).__name__}: {error}",
            "mend its `after`",
        ) from error
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(found.outputs) or not all(isinstance(r, ir.Value) for r in results):
        raise PluginError(
            f"rule {rule.__name__} at {place_of(root)}: its `after` returned {len(results)} values, "
            f"for a pattern of {len(found.outputs)}",
            "`after` must return as many values as `before`",
        )
    return results


def _register(graph: ir.Graph, constants: Iterable[ir.Value]) -> None:
    taken = graph.initializers
    for constant in constants:
        if constant.uses():
            stem = name = constant.name or "constant"
            for number in count(1):
                if name not in taken:
                    break
                name = f"{stem}.{number}"
            constant.name = name
            graph.register_initializer(constant)


def _take_over(graph: ir.Graph, old: ir.Value, new: ir.Value, after: ir.Node) -> list[ir.Node]:
    """Let `new` stand for `old`: its uses, its place among the graph's outputs, its name, type and shape.

    Where `new` cannot be a graph output itself, an Identity of it is; such nodes are returned.
    """
    producer = new.producer()
    added: list[ir.Node] = []
    is_of_graph = producer is not None and producer.graph is graph
    if old.is_graph_output() and (not is_of_graph or new.is_graph_output()):
        identity = ir.node("Identity", [new])
        graph.insert_after(producer if producer is not None and is_of_graph else after, identity)
        new, added = identity.outputs[0], [identity]
    if new.name is None or old.is_graph_output():
        new.name = old.name
    new.type = new.type or old.type
    new.shape = old.shape if new.shape is None else new.shape
    replace_all_uses_with(old, new, replace_graph_outputs=True)
    return added


def constants_under(value: ir.Value) -> list[str]:
    """Names of the constants that `value` is computed from; empty if it depends on an input."""
    if value.const_value is not None:
        return [value.name or ""]
    producer = value.producer()
    if producer is None:
        return []
    below = [constants_under(v) for v in producer.inputs if v is not None]
    return [name for names in below for name in names] if all(below) else []
