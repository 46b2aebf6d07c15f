"""The post-condition of a stage: which op domains may remain, and that the opset has the standard ops."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from vampconv.errors import PluginError
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import Log
from vampconv.rewrite.trace import place_of, rules_of


def check_domains(model: ir.Model, stage: Stage, log: Log, domains: frozenset[str] | None = None) -> None:
    """Raise if an op of another domain than those that may remain is left, or one that the opset does not have.

    Parameters
    ----------
    model, stage, log
        The graph after a stage, and what its rules did.
    domains
        Those that may remain, if not those of the stage.

    Raises
    ------
    PluginError
        Naming the first such node, who made it, and why the rules declined it.

    """
    for node in model.graph:
        if node.domain in (stage.domains if domains is None else domains):
            _check_opset(node, model.graph.opset_imports[""])
            continue
        declined = "; ".join(
            f"{rule} declines: {reason}" for rule, reason in log.refusals.get(node, {}).items()
        )
        makers = rules_of(node)
        made = f"rule {makers[-1]}" if makers else "the frontend"
        raise PluginError(
            f"stage {stage.label} leaves {place_of(node)}, made by {made}",
            declined or "no enabled rule replaces it",
        )


def _check_opset(node: ir.Node, opset: int) -> None:
    if not node.domain and not onnx.defs.has(node.op_type, opset):
        makers = rules_of(node)
        raise PluginError(
            f"{f'rule {makers[-1]}' if makers else 'the frontend'} made {place_of(node)}, "
            f"which opset {opset} does not have",
            "disable the rule or choose another --opset",
        )
