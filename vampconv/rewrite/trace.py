"""Where a node comes from: the module that it stands for, and the rules that made it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import onnx_ir as ir

from vampconv.dialect.builder import FUSED, MODULE, VALUE

RULES = "vampconv.rules"


def module_of(node: ir.Node) -> str:
    """Path of the PyTorch module that the node stands for."""
    return node.metadata_props.get(MODULE, "")


def path_of(node: ir.Node) -> str:
    """What the node is going to be called: its module's path and its op."""
    return f"/{module_of(node).replace('.', '/')}/{node.op_type}".replace("//", "/")


def place_of(node: ir.Node) -> str:
    """A node as errors tell of it: op, name and module."""
    numbered = f"node_{node.op_type}_"
    name = path_of(node) if not node.name or node.name.startswith(numbered) else node.name
    op = f"{node.domain}.{node.op_type}" if node.domain else node.op_type
    return f"{op} {name} (module {module_of(node) or '.'})"


def rules_of(node: ir.Node) -> tuple[str, ...]:
    """Names of the rules that made the node, in order."""
    return tuple(name for name in node.metadata_props.get(RULES, "").split(",") if name)


def hand_down(nodes: Iterable[ir.Node], old: Sequence[ir.Value], new: Sequence[ir.Value], rule: str) -> None:
    """Let new values be what the old ones were; say at the first what vanished with the inner `nodes`.

    Where that is a node from before, it is one of the rule's from now on.
    """
    roots = {value.producer() for value in old}
    for before, after in zip(old, new, strict=True):
        maker, taker = before.producer(), after.producer()
        if maker is not None and taker is not None and before.index() == 0:
            _add(taker, VALUE, maker.metadata_props.get(VALUE, ""))
    first = next((p for value in new if (p := value.producer()) is not None), None)
    for node in nodes:
        if first is None:
            break
        _add(first, FUSED, node.metadata_props.get(FUSED, ""))
        vanished = node.metadata_props.get(VALUE, "").split()
        if node not in roots and vanished:
            _add(first, FUSED, " ".join(f"{name}={rule}" for name in vanished))
            first.metadata_props[RULES] = ",".join(dict.fromkeys([*rules_of(first), rule]))


def _add(node: ir.Node, key: str, words: str) -> None:
    known = node.metadata_props.get(key, "").split()
    if words:
        node.metadata_props[key] = " ".join(dict.fromkeys([*known, *words.split()]))


def inherit(old: Iterable[ir.Node], new: Iterable[ir.Node], module: str, rule: str) -> None:
    """Mark new nodes with `module` and with the rules of the nodes they replace, followed by `rule`."""
    rules = list(dict.fromkeys(name for node in old for name in rules_of(node)))
    rules = [*(r for r in rules if r != rule), rule]
    for node in new:
        node.metadata_props[MODULE] = module
        node.metadata_props[RULES] = ",".join(rules)
