"""Types and shapes of every value, by ONNX's own inference."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from vampconv.errors import PluginError


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes in place, and check them against those already known.

    Raises
    ------
    PluginError
        If the graph is not well typed.

    """
    outputs = {v.name: v for node in model.graph for v in node.outputs}
    for value in outputs.values():
        if not value.is_graph_output():
            value.shape = None
    try:
        inferred = onnx.shape_inference.infer_shapes(
            _without_weights(model), check_type=True, strict_mode=True, data_prop=True
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        detail = str(error.__cause__ or error).strip().splitlines()[0]
        raise PluginError(f"the rules made an ill-typed graph: {detail}", "audit the rules") from error
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        if info.name in outputs:
            found, value = ir.serde.deserialize_value_info_proto(info, None), outputs[info.name]
            value.shape = value.shape if found.shape is None else found.shape
            value.type = value.type if found.type is None else found.type


def _without_weights(model: ir.Model) -> onnx.ModelProto:
    """The model with its lazy weights as inputs, so that none is read."""
    graph = model.graph
    inputs, initializers = list(graph.inputs), list(graph.initializers.values())
    try:
        for value in initializers:
            tensor = value.const_value
            if isinstance(tensor, ir.LazyTensor) and tensor.dtype.is_floating_point():
                del graph.initializers[value.name or ""]
                graph.inputs.append(value)
        return ir.to_proto(model)
    finally:
        graph.inputs.clear()
        graph.inputs.extend(inputs)
        graph.initializers.clear()
        for value in initializers:
            graph.register_initializer(value)
