"""Makes all sizes of a model known but that of time, so that one can follow time through its layouts."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

from vampconv.runtime.attributes import attributes

LARGEST = 4096
"""Elements of constants that are computed with; sizes, offsets and axes are far smaller, weights larger."""

COMPUTED = {
    "Add", "Cast", "Concat", "Constant", "ConstantOfShape", "Div", "Gather", "Identity", "Max", "Min", "Mod", "Mul",
    "Neg", "Range", "Reshape", "Slice", "Squeeze", "Sub", "Unsqueeze",
}  # fmt: skip
"""Operators of which sizes and offsets are made."""

Constants = dict[str, NDArray[Any]]


def of_one_row(model: onnx.ModelProto) -> tuple[onnx.GraphProto, Constants]:
    """A graph with shapes inferred for a batch, and any other open size, of 1; and its small constants.

    Parameters
    ----------
    model
        A model whose first input has time as its last axis. It is left as it is.

    Returns
    -------
    graph
        With what follows from constants alone taken out of its nodes.
    constants
        What small values are, those taken out among them.

    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    del graph.value_info[:]
    for dim in graph.input[0].type.tensor_type.shape.dim[:-1]:
        dim.dim_value = dim.dim_value or 1
    constants = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer if _is_small(t)}
    sizes = [d.dim_value for d in graph.input[0].type.tensor_type.shape.dim]
    opsets = {o.domain: o.version for o in copy.opset_import}
    rest = []
    for node in graph.node:
        found = _computed(node, constants, graph.input[0].name, sizes, opsets)
        if found is None:
            rest.append(node)
            continue
        constants[node.output[0]] = found
        graph.initializer.append(onnx.numpy_helper.from_array(found, node.output[0]))
    del graph.node[:]
    graph.node.extend(rest)
    return onnx.shape_inference.infer_shapes(copy, data_prop=True).graph, constants


def _computed(
    node: onnx.NodeProto, constants: Constants, source: str, sizes: list[int], opsets: dict[str, int]
) -> NDArray[Any] | None:
    if node.op_type == "Shape" and node.input[0] == source:
        given = attributes(node)
        chosen = sizes[given.get("start", 0) : given.get("end", len(sizes))]
        return np.array(chosen, np.int64) if 0 not in chosen else None
    if node.op_type not in COMPUTED or node.domain not in ("", "ai.onnx"):
        return None
    needed = {name for name in node.input if name}
    inputs = {name: constants[name] for name in needed & constants.keys()}
    if len(node.output) != 1 or inputs.keys() != needed:
        return None
    outputs: Any = ReferenceEvaluator(node, opsets=opsets).run(None, inputs)
    computed = np.asarray(outputs[0])
    return computed if computed.size <= LARGEST else None


def _is_small(tensor: onnx.TensorProto) -> bool:
    return tensor.data_location != onnx.TensorProto.EXTERNAL and np.prod(tensor.dims, dtype=int) <= LARGEST
