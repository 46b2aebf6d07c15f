"""Running small graphs: by the ops' meanings, or in ONNX Runtime."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnx_ir as ir
import onnxruntime as ort
from onnxruntime.capi import onnxruntime_pybind11_state as state

from vampconv.dialect import DOMAIN, OPS
from vampconv.dialect.op import Array

REFUSALS: tuple[type[Exception], ...] = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    state.Fail,
    state.InvalidArgument,
    state.InvalidGraph,
    state.InvalidProtobuf,
    state.NotImplemented,
    state.RuntimeException,
)


def interpret(model: ir.Model, feeds: Mapping[str, Array]) -> list[Array]:
    """Outputs of a graph of ``vamp`` and ONNX ops, computed node by node in the precision of `feeds`.

    `feeds` gives the inputs, and may override constants.
    """
    values: dict[ir.Value, Array] = {}
    for constant in model.graph.initializers.values():
        assert constant.const_value is not None
        values[constant] = feeds.get(constant.name or "", constant.const_value.numpy())
    values.update({v: feeds[v.name or ""] for v in model.graph.inputs})
    for node in model.graph:
        arguments = [None if v is None else values[v] for v in node.inputs]
        opset = model.graph.opset_imports.get(node.domain, 1)
        results = _meaning(node, arguments) if node.domain == DOMAIN else run_standard(node, arguments, opset)
        values.update(zip(node.outputs, results, strict=True))
    return [values[v] for v in model.graph.outputs]


def _meaning(node: ir.Node, arguments: list[Any]) -> list[Array]:
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    return [OPS[node.op_type].meaning(*arguments, **attributes)]


def run_standard(node: ir.Node, arguments: list[Any], opset: int) -> list[Array]:
    """The outputs of one standard operator, by ONNX's reference implementation."""
    names = ["" if a is None else f"x{i}" for i, a in enumerate(arguments)]
    outputs = [f"y{i}" for i in range(len(node.outputs))]
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    proto = onnx.helper.make_node(node.op_type, names, outputs, domain=node.domain, **attributes)
    given = {n: a for n, a in zip(names, arguments, strict=True) if a is not None}
    types = tuple((n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype)) for n, a in given.items())
    evaluator = _evaluator(proto.SerializeToString(deterministic=True), types, tuple(outputs), opset)
    return [np.asarray(r) for r in evaluator.run(None, given)]


@functools.lru_cache(maxsize=512)
def _evaluator(
    node: bytes, inputs: tuple[tuple[str, int], ...], outputs: tuple[str, ...], opset: int
) -> onnx.reference.ReferenceEvaluator:
    """What runs one serialised node on inputs of these names and types."""
    proto = onnx.NodeProto.FromString(node)
    infos = [onnx.helper.make_tensor_value_info(name, kind, None) for name, kind in inputs]
    graph = onnx.helper.make_graph([proto], "node", infos, [onnx.ValueInfoProto(name=n) for n in outputs])
    imported = onnx.helper.make_opsetid(proto.domain, opset)
    return onnx.reference.ReferenceEvaluator(onnx.helper.make_model(graph, opset_imports=[imported]))


Runner = Callable[[Mapping[str, Array]], list[Array]]


def load(model: ir.Model) -> Runner:
    """What computes the outputs in float32: ONNX Runtime for standard ops, the meanings otherwise.

    Raises
    ------
    Exception
        One of `REFUSALS`, if ONNX's checker or ONNX Runtime refuses the model.

    """
    if any(node.domain == DOMAIN for node in model.graph):
        return functools.partial(_interpret_as_declared, model)
    model.graph.opset_imports.pop(DOMAIN, None)
    proto = onnx.shape_inference.infer_shapes(ir.to_proto(model))
    onnx.checker.check_model(proto, full_check=True)
    session = ort.InferenceSession(proto.SerializeToString(), _options(), providers=["CPUExecutionProvider"])

    def run(feeds: Mapping[str, Array]) -> list[Array]:
        return [np.asarray(r) for r in session.run(None, {k: np.asarray(v) for k, v in feeds.items()})]

    return run


def _interpret_as_declared(model: ir.Model, feeds: Mapping[str, Array]) -> list[Array]:
    results = zip(interpret(model, feeds), model.graph.outputs, strict=True)
    return [r if v.dtype is None else r.astype(v.dtype.numpy()) for r, v in results]


def _options() -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return options
