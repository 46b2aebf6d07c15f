"""Types and shapes of every value, by ONNX's own inference."""

from __future__ import annotations

import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from vampconv.errors import PluginError


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes in place, and check them against those already known.

    Raises
    ------
    PluginError
        If the graph is not well typed.

    """
    for value in (v for node in model.graph for v in node.outputs if not v.is_graph_output()):
        value.shape = None
    try:
        ShapeInferencePass(check_type=True, strict_mode=True, data_prop=True)(model)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        detail = str(error.__cause__ or error).strip().splitlines()[0]
        raise PluginError(f"the rules made an ill-typed graph: {detail}", "audit the rules") from error
