"""The guards of a rule: their reasons, and the conditions as they are written."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from vampconv.rewrite import Match, Rule, Sample
from vampconv.rewrite.audit import OPSETS
from vampconv.rewrite.engine import compiled
from vampconv.rewrite.sample_graph import build


@dataclass(frozen=True)
class GuardFacts:
    """A guard; `condition` is its source where that can be told, `declines` which samples (from 0) show it."""

    reason: str
    condition: str = ""
    declines: tuple[int, ...] = ()


def guards_of(rule: type[Rule], samples: list[Sample]) -> list[GuardFacts]:
    """Guards in their order: seen on the samples, with their conditions as the source has them."""
    written = dict(_written(rule.require, set()))
    seen: dict[str, set[int]] = {}
    for index, sample in enumerate(samples):
        for holds, reason in _seen(rule, sample):
            seen.setdefault(reason, set()).update(() if holds else {index})
            if not holds:
                break
    return [
        GuardFacts(reason, written.get(reason, ""), tuple(sorted(seen.get(reason, ()))))
        for reason in dict.fromkeys((*written, *seen))
    ]


def _seen(rule: type[Rule], sample: Sample) -> Iterator[tuple[bool, str]]:
    opset = sample.opset or OPSETS[-1]
    model, _ = build(rule, sample, opset)
    for node in model.graph:
        for found in compiled(rule).find(node):
            yield from rule.require(Match(found.bindings, opset))
            return


def _written(require: Callable[..., Any], known: set[Any]) -> Iterable[tuple[str, str]]:
    """Reason and condition of every ``yield condition, "reason"``, through ``yield from`` a function."""
    if require in known:
        return
    known.add(require)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(require)))
    except (OSError, SyntaxError, TypeError):
        return
    for node in ast.walk(tree):
        pair = node.value if isinstance(node, ast.Yield) else None
        if isinstance(pair, ast.Tuple) and len(pair.elts) == 2 and isinstance(pair.elts[1], ast.Constant):
            yield str(pair.elts[1].value), ast.unparse(pair.elts[0])
        call = node.value if isinstance(node, ast.YieldFrom) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name):
            inner = getattr(require, "__globals__", {}).get(call.func.id)
            if inspect.isfunction(inner):
                yield from _written(inner, known)
