"""Where a node comes from: the module that it stands for, and the rules that made it."""

from __future__ import annotations

from collections.abc import Iterable

import onnx_ir as ir

from vampconv.dialect.builder import MODULE

RULES = "vampconv.rules"


def module_of(node: ir.Node) -> str:
    """Path of the PyTorch module that the node stands for."""
    return node.metadata_props.get(MODULE, "")


def rules_of(node: ir.Node) -> tuple[str, ...]:
    """Names of the rules that made the node, in order."""
    return tuple(name for name in node.metadata_props.get(RULES, "").split(",") if name)


def inherit(old: Iterable[ir.Node], new: Iterable[ir.Node], module: str, rule: str) -> None:
    """Mark new nodes with `module` and with the rules of the nodes they replace, followed by `rule`."""
    rules = list(dict.fromkeys(name for node in old for name in rules_of(node)))
    rules = [*(r for r in rules if r != rule), rule]
    for node in new:
        node.metadata_props[MODULE] = module
        node.metadata_props[RULES] = ",".join(rules)
