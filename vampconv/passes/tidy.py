"""Removes what nothing uses, and shares equal small constants and equal computations."""

from __future__ import annotations

import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with
from onnx_ir.passes.common import CommonSubexpressionEliminationPass, RemoveUnusedNodesPass

SMALL = 4096
"""Constants of at most this many bytes are compared and shared."""


def tidy(model: ir.Model) -> None:
    """Tidy the graph in place, and drop the import of domains that it no longer uses."""
    share_constants(model)
    CommonSubexpressionEliminationPass()(model)
    RemoveUnusedNodesPass()(model)
    graph = model.graph
    used = {node.domain for node in graph} | {""}
    for domain in set(graph.opset_imports) - used:
        del graph.opset_imports[domain]


def share_constants(model: ir.Model) -> None:
    """Let equal small constants that rules wrote down be one."""
    first: dict[tuple[object, ...], ir.Value] = {}
    for name, value in list(model.graph.initializers.items()):
        tensor = value.const_value
        if (
            tensor is None
            or isinstance(tensor, ir.LazyTensor | ir.StringTensor)
            or value.is_graph_input()
            or tensor.nbytes > SMALL
            or value.is_graph_output()
        ):
            continue
        key = (tensor.dtype, tuple(tensor.shape), tensor.tobytes())
        kept = first.setdefault(key, value)
        if kept is not value:
            replace_all_uses_with(value, kept)
            del model.graph.initializers[name]
