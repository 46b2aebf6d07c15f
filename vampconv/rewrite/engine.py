"""Applies rules to a graph until none fires."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import onnx_ir as ir

from vampconv.errors import PluginError
from vampconv.rewrite.keep import Keep
from vampconv.rewrite.match import Match
from vampconv.rewrite.matcher import Pattern
from vampconv.rewrite.replacement import Firing, Observer, replace
from vampconv.rewrite.rule import Rule
from vampconv.rewrite.trace import module_of, place_of

BUDGET_PER_NODE = 20
LATELY = 10
NOTHING = Keep()
"""Firings before the end of the budget that are held to be the endless ones."""


@dataclass
class Log:
    """What happened while rules were applied."""

    firings: list[Firing] = field(default_factory=list)
    refusals: dict[ir.Node, dict[str, str]] = field(default_factory=dict)
    kept: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Modules that a rule of the precision was not used on, with the patterns by which they are kept."""

    def counts(self) -> dict[str, int]:
        """How often each rule fired."""
        return dict(Counter(f.rule for f in self.firings))


def apply_rules(
    model: ir.Model,
    rules: Sequence[type[Rule]],
    *,
    opset: int,
    target: str = "portable",
    precision: str = "fp32",
    log: Log | None = None,
    observe: Observer | None = None,
    keep: Keep = NOTHING,
) -> Log:
    """Apply `rules`, in their order, to every node, until a sweep over the graph changes nothing.

    Those of other targets and precisions are left out, and those of the precision are not used on what is to
    `keep`. `observe` is shown every replacement before it is put in place.

    Raises
    ------
    PluginError
        If a rule breaks its contract, or the rules do not come to an end.

    """
    log = log or Log()
    earlier = len(log.firings)
    fuel = BUDGET_PER_NODE * (sum(1 for _ in model.graph) + 10)
    by_root = _by_root(r for r in rules if r.target in (None, target) and r.precision in (None, precision))
    changed = True
    while changed:
        changed = False
        for node in list(model.graph):
            fired = node.graph is not None and _fire_at(
                model, node, by_root, Match({}, opset, target), log, observe, keep
            )
            changed = changed or fired
            if len(log.firings) - earlier > fuel:
                raise _endless(log.firings[-LATELY:], fuel, node)
    return log


def _endless(lately: Iterable[Firing], budget: int, node: ir.Node) -> PluginError:
    rules = list(dict.fromkeys(firing.rule for firing in lately))
    who = f"rule {rules[0]} fires" if len(rules) == 1 else f"rules {' and '.join(rules)} fire by turns"
    return PluginError(
        f"{who} without end: stopped after the budget of {budget} firings, at {place_of(node)}",
        "a replacement must not bring back what a pattern matches",
    )


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
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"rule {rule.__name__} (in {rule.__module__}): its pattern cannot be built, `before` raised "
            f"{type(error).__name__}: {error}",
            "see rules/README.md",
        ) from error


def _fire_at(
    model: ir.Model,
    node: ir.Node,
    by_root: dict[tuple[str, str], list[tuple[type[Rule], Pattern]]],
    context: Match,
    log: Log,
    observe: Observer | None,
    keep: Keep,
) -> bool:
    for rule, pattern in by_root.get((node.domain, node.op_type), ()):
        for found in pattern.find(node):
            match = Match(found.bindings, context.opset, context.target)
            if (reason := refusal(rule, match, node)) is not None:
                log.refusals.setdefault(node, {})[rule.__name__] = reason
                continue
            module = module_of(node)
            if rule.precision is not None and (patterns := keep.matching(module)):
                log.kept[module] = patterns
                continue
            log.firings.append(replace(model.graph, rule, found, match, observe))
            return True
    return False


def refusal(rule: type[Rule], match: Match, node: ir.Node) -> str | None:
    """The reason of the first guard that does not hold, or None."""
    try:
        return next((reason for holds, reason in rule.require(match) if not holds), None)
    except (Exception, SystemExit) as error:
        raise PluginError(
            f"rule {rule.__name__} at {place_of(node)}: its `require` raised {type(error).__name__}: {error}",
            "mend its guards",
        ) from error
