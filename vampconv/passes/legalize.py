"""The post-condition of a stage: which op domains may remain, and that the opset has the standard ops."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from vampconv.errors import PluginError
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import Log
from vampconv.rewrite.trace import place_of, rules_of


def check_domains(model: ir.Model, stage: Stage, log: Log) -> None:
    """Raise if an op of a domain that the stage forbids is left, or one that the opset does not have.

    Raises
    ------
    PluginError
        Naming the first such node, who made it, and why the rules declined it.

    """
    for node in model.graph:
        if node.domain in stage.domains:
            _check_opset(node, model.graph.opset_imports[""])
            continue
        declined = "; ".join(
            f"{rule} declines: {reason}" for rule, reason in log.refusals.get(node, {}).items()
        )
        makers = rules_of(node)
        made = f"rule {makers[-1]} made" if makers else "the frontend made"
        raise PluginError(
            f"{made} {place_of(node)}, which stage {stage.label} leaves behind",
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
