"""Applies rules to a graph until none fires."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from vampconv.dialect import NodeBuilder
from vampconv.errors import PluginError, VampconvError
from vampconv.rewrite.match import Match
from vampconv.rewrite.matcher import Occurrence, Pattern
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.trace import inherit, module_of

BUDGET_PER_NODE = 20


@dataclass(frozen=True)
class Firing:
    """One application of a rule."""

    rule: str
    module: str
    dropped: tuple[tuple[str, str], ...] = ()
    """Names of the constants that the rule left out, each with its reason."""


@dataclass
class Log:
    """What happened while rules were applied."""

    firings: list[Firing] = field(default_factory=list)
    refusals: dict[ir.Node, dict[str, str]] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """How often each rule fired."""
        names = [f.rule for f in self.firings]
        return {name: names.count(name) for name in dict.fromkeys(names)}


def apply_rules(
    model: ir.Model,
    rules: Sequence[type[Rule]],
    *,
    opset: int,
    target: str = "portable",
    log: Log | None = None,
) -> Log:
    """Apply `rules`, in their order, to every node, until a sweep over the graph changes nothing.

    Raises
    ------
    PluginError
        If a rule breaks its contract, or the rules do not come to an end.

    """
    log = log or Log()
    earlier = len(log.firings)
    fuel = BUDGET_PER_NODE * (sum(1 for _ in model.graph) + 10)
    by_root = _by_root(rules)
    changed = True
    while changed:
        changed = False
        for node in list(model.graph):
            fired = node.graph is not None and _fire_at(model, node, by_root, Match({}, opset, target), log)
            changed = changed or fired
            if len(log.firings) - earlier > fuel:
                busiest, _ = Counter(f.rule for f in log.firings[earlier:]).most_common(1)[0]
                raise PluginError(
                    f"rule {busiest} fires without end (stopped after {fuel} firings)",
                    "a replacement must not bring back what the pattern matches",
                )
    return log


def _by_root(rules: Iterable[type[Rule]]) -> dict[tuple[str, str], list[tuple[type[Rule], Pattern]]]:
    index: dict[tuple[str, str], list[tuple[type[Rule], Pattern]]] = {}
    for rule in rules:
        pattern = compiled(rule)
        index.setdefault(pattern.roots[0], []).append((rule, pattern))
    return index


def compiled(rule: type[Rule]) -> Pattern:
    """The rule's pattern.

    Raises
    ------
    PluginError
        If it cannot be built, or has no node to start from, or if the rule drops what it does not bind.

    """
    try:
        pattern = Pattern(rule)
        if not pattern.roots:
            raise ValueError("`before` returns no op's output")
        if unbound := set(rule.drops) - set(pattern.parameters):
            raise ValueError(f"`drops` names {', '.join(sorted(unbound))}, which `before` does not")
        return pattern
    except Exception as error:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}): its pattern cannot be built: "
            f"{type(error).__name__}: {error}",
            "see rules/README.md",
        ) from error


def _fire_at(
    model: ir.Model,
    node: ir.Node,
    by_root: dict[tuple[str, str], list[tuple[type[Rule], Pattern]]],
    context: Match,
    log: Log,
) -> bool:
    for rule, pattern in by_root.get((node.domain, node.op_type), ()):
        for found in pattern.find(model, node):
            match = Match(found.bindings, context.opset, context.target)
            if (reason := refusal(rule, match)) is not None:
                log.refusals.setdefault(node, {})[rule.__name__] = reason
                continue
            log.firings.append(_replace(model, rule, found, match))
            return True
    return False


def refusal(rule: type[Rule], match: Match) -> str | None:
    """The reason of the first guard that does not hold, or None."""
    try:
        return next((reason for holds, reason in rule.require(match) if not holds), None)
    except Exception as error:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}): its guards raised {type(error).__name__}: {error}",
            "mend its `require`",
        ) from error


def _replace(model: ir.Model, rule: type[Rule], found: Occurrence, match: Match) -> Firing:
    graph = model.graph
    roots = {v.producer() for v in found.outputs}
    root = next(node for node in graph if node in roots)
    module = module_of(root)
    builder = NodeBuilder(module)
    dropped = tuple((name, rule.drops[p]) for p in rule.drops for name in constants_under(found.bindings[p]))
    results = _build(rule, builder, found, match)
    inherit(found.nodes, builder.nodes, module, rule.__name__)
    _register(graph, builder)
    graph.insert_after(root, builder.nodes)
    for old, new in zip(found.outputs, results, strict=True):
        inherit(found.nodes, _take_over(graph, old, new, root), module, rule.__name__)
    graph.remove(found.nodes, safe=True)
    if len(found.outputs) > 1:
        graph.sort()
    for domain in {n.domain for n in builder.nodes}:
        graph.opset_imports.setdefault(domain, 1)
    return Firing(rule.__name__, module, dropped)


def _build(rule: type[Rule], builder: NodeBuilder, found: Occurrence, match: Match) -> tuple[ir.Value, ...]:
    arguments: dict[str, Any] = dict(found.bindings)
    wanted = inspect.signature(rule.after).parameters
    if "m" in wanted:
        arguments["m"] = match
    try:
        results = rule.after(builder, **{k: v for k, v in arguments.items() if k in wanted})
    except VampconvError:
        raise
    except Exception as error:
        raise PluginError(
            f"rule {rule.__name__} raised {type(error).__name__} at {builder.module!r}: {error}",
            "mend its `after`",
        ) from error
    results = results if isinstance(results, tuple) else (results,)
    if len(results) != len(found.outputs) or not all(isinstance(r, ir.Value) for r in results):
        raise PluginError(
            f"rule {rule.__name__} returned {len(results)} values at {builder.module!r}, "
            f"for a pattern of {len(found.outputs)}",
            "`after` must return as many values as `before`",
        )
    return results


def _register(graph: ir.Graph, builder: NodeBuilder) -> None:
    taken = graph.initializers
    for constant in builder.constants:
        if constant.uses():
            stem = constant.name or "constant"
            constant.name = next(n for n in _names(stem) if n not in taken)
            graph.register_initializer(constant)


def _names(stem: str) -> Iterator[str]:
    yield from (stem if i == 0 else f"{stem}.{i}" for i in range(1 << 31))


def _take_over(graph: ir.Graph, old: ir.Value, new: ir.Value, after: ir.Node) -> list[ir.Node]:
    """Let `new` stand for `old`: its uses, its place among the graph's outputs, its name, type and shape.

    Where `new` cannot be a graph output itself, an Identity of it is; such nodes are returned.
    """
    producer = new.producer()
    added: list[ir.Node] = []
    if old.is_graph_output() and (producer is None or new.is_graph_output()):
        identity = ir.node("Identity", [new])
        graph.insert_after(producer if producer is not None and producer.graph is graph else after, identity)
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
