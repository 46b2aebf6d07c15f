"""Types and shapes of every value, by ONNX's own inference."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from vampconv.errors import PluginError
from vampconv.passes.inner import bodies

LIKE_FIRST = {("com.microsoft", "FastGelu"): 1, ("com.microsoft", "MultiHeadAttention"): 6}
"""Operations that inference does not know, whose output is like the first of so many inputs."""
LARGE = 1024
"""Bytes of a constant that says nothing about shapes."""
LONGEST = 4096
"""Elements of a vector that may be a shape; the inference writes each of them down, whatever it holds."""


def infer_shapes(model: ir.Model) -> None:
    """Infer types and shapes in place, and check them against those already known.

    Raises
    ------
    PluginError
        If the graph is not well typed.

    """
    outputs = {v.name: v for node in model.graph for v in node.outputs}
    for node in model.graph:
        for value in node.outputs if not node.domain else ():
            if not value.is_graph_output():
                value.shape = None
    proto = _without_weights(model)
    _explain(proto)
    try:
        inferred = onnx.shape_inference.infer_shapes(proto, check_type=True, strict_mode=True, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        detail = str(error.__cause__ or error).strip().splitlines()[0]
        raise PluginError(f"the rules made an ill-typed graph: {detail}", "audit the rules") from error
    for info in (*inferred.graph.value_info, *inferred.graph.output):
        if info.name in outputs:
            found, value = ir.serde.deserialize_value_info_proto(info, None), outputs[info.name]
            value.shape = value.shape if found.shape is None else found.shape
            value.type = value.type if found.type is None else found.type


def _explain(proto: onnx.ModelProto) -> None:
    """Let inference take the operations of `LIKE_FIRST` for functions that give their first input back."""
    for domain, name in sorted({(n.domain, n.op_type) for n in proto.graph.node} & LIKE_FIRST.keys()):
        inputs = [f"x{i}" for i in range(LIKE_FIRST[domain, name])]
        body, opsets = [onnx.helper.make_node("Identity", ["x0"], ["y"])], list(proto.opset_import)
        proto.functions.append(onnx.helper.make_function(domain, name, inputs, ["y"], body, opsets))


def infer_what_is_known(model: ir.Model) -> None:
    """Fill in types and shapes of a foreign graph as far as ONNX's inference comes; what is known stays.

    Where the graph has a vector of more than `LONGEST` elements, no values are followed, shapes alone.
    """
    bare = _without_weights(model, lazy=False)
    try:
        inferred = onnx.shape_inference.infer_shapes(bare)
        if not _has_long_vector(inferred.graph):
            inferred = onnx.shape_inference.infer_shapes(bare, data_prop=True)
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError, RuntimeError, ValueError):
        return
    _take_over(model.graph, inferred.graph)


def _has_long_vector(graph: onnx.GraphProto) -> bool:
    """Whether a value of a graph, or of one inside it, is known to be a vector that is no shape."""
    values = (*graph.input, *graph.value_info, *graph.output)
    shapes = (list(v.type.tensor_type.shape.dim) for v in values)
    inner = (body for node in graph.node for a in node.attribute for body in (a.g, *a.graphs))
    return any(len(s) == 1 and s[0].dim_value > LONGEST for s in shapes) or any(map(_has_long_vector, inner))


def _take_over(graph: ir.Graph, inferred: onnx.GraphProto) -> None:
    """Types and shapes of a graph and of the graphs inside it, from the same graph after inference."""
    outputs = {v.name: v for node in graph for v in node.outputs if v.name}
    for info in (*inferred.value_info, *inferred.output):
        if info.name not in outputs:
            continue
        found, value = ir.serde.deserialize_value_info_proto(info, None), outputs[info.name]
        value.type = found.type if value.type is None else value.type
        if not value.is_graph_output() or value.shape is None:
            value.shape = _more_precise(value.shape, found.shape)
    for node, told in zip(graph, inferred.node, strict=True):
        attributes = {a.name: a for a in told.attribute}
        for name, index, body in bodies(node):
            a = attributes[name]
            _take_over(body, a.g if a.HasField("g") else a.graphs[index])


def _more_precise(known: ir.Shape | None, found: ir.Shape | None) -> ir.Shape | None:
    if known is None or found is None or len(known) != len(found):
        return found if known is None else known
    pairs = zip(known, found, strict=True)
    return ir.Shape([b if not isinstance(a, int) and _says_more(a, b) else a for a, b in pairs])


def _says_more(known: ir.SymbolicDim, found: int | ir.SymbolicDim) -> bool:
    return isinstance(found, int) or (known.value is None and found.value is not None)


def _without_weights(model: ir.Model, *, lazy: bool = True) -> onnx.ModelProto:
    """The model with its weights (those that are `lazy`, or all large ones) as inputs, so that none is read."""
    graph = model.graph
    inputs, initializers = list(graph.inputs), list(graph.initializers.values())
    try:
        for value in initializers:
            tensor = value.const_value
            if tensor is None or value.is_graph_input():
                continue
            tells_nothing = tensor.nbytes >= LARGE
            if lazy:
                tells_nothing = tells_nothing or tensor.dtype.is_floating_point()
                tells_nothing = tells_nothing and isinstance(tensor, ir.LazyTensor)
            if tells_nothing:
                del graph.initializers[value.name or ""]
                graph.inputs.append(value)
        return ir.to_proto(model)
    finally:
        graph.inputs.clear()
        graph.inputs.extend(inputs)
        graph.initializers.clear()
        for value in initializers:
            graph.register_initializer(value)
