"""The graph that a rule's ``before`` stands for on a sample."""

from __future__ import annotations

import inspect
import itertools
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
from onnx_ir.passes.common import ShapeInferencePass

from vampconv.dialect import DOMAIN, NodeBuilder
from vampconv.dialect.op import VERSION, Array
from vampconv.errors import PluginError
from vampconv.rewrite.evidence import Drawn, Sample
from vampconv.rewrite.rule import Rule


def ways_of(rule: type[Rule], sample: Sample, opset: int) -> list[tuple[int, ...]]:
    """Every way that ``before`` can be written on a sample, as far as the opset has its operations."""
    _, choices = _written(rule, sample, ())
    if not choices.choices:
        return [()]
    found = []
    for ways in itertools.product(*map(range, choices.choices)):
        _, builder = _written(rule, sample, ways)
        if len(builder.choices) == len(ways) and all(_is_legal(node, opset) for node in builder.nodes):
            found.append(ways)
    return found


def _is_legal(node: ir.Node, opset: int) -> bool:
    """Whether the opset has such an operation with these attributes and as many inputs."""
    if node.domain:
        return True
    if not onnx.defs.has(node.op_type, opset):
        return False
    schema = onnx.defs.get_schema(node.op_type, opset)
    return node.attributes.keys() <= schema.attributes.keys() and len(node.inputs) <= schema.max_input


def _written(
    rule: type[Rule], sample: Sample, ways: tuple[int, ...]
) -> tuple[tuple[dict[str, Any], Any], NodeBuilder]:
    """The arguments of ``before`` and what it returns, written in the given ways."""
    parameters = list(inspect.signature(rule.before).parameters)[1:]
    if set(parameters) != set(sample.arguments):
        raise PluginError(
            f"the sample gives {', '.join(sample.arguments)}", f"`before` has {', '.join(parameters)}"
        )
    builder = NodeBuilder("sample", ways)
    arguments = {name: _argument(builder, name, sample.arguments[name]) for name in parameters}
    try:
        results = rule.before(builder, **arguments)
    except Exception as error:
        raise PluginError(
            f"`before` raised {type(error).__name__}: {error}", "mend it, or the sample"
        ) from error
    return (arguments, results), builder


def build(
    rule: type[Rule], sample: Sample, opset: int, ways: tuple[int, ...] = ()
) -> tuple[ir.Model, dict[str, Array]]:
    """The graph that ``before`` stands for on a sample, and the value of each of its inputs and constants."""
    (arguments, results), builder = _written(rule, sample, ways)
    feeds = {n: np.asarray(v) for n, v in sample.arguments.items() if isinstance(v, np.ndarray)}
    outputs = list(dict.fromkeys(results if isinstance(results, tuple) else (results,)))
    for index, output in enumerate(outputs):
        output.name = f"output{index}"
    for index, constant in enumerate(c for c in builder.constants if not c.name):
        constant.name = f"literal{index}"
    values = [v for v in arguments.values() if isinstance(v, ir.Value)]
    graph = ir.Graph(
        [v for v in values if v.const_value is None],
        outputs,
        nodes=builder.nodes,
        opset_imports={"": opset, DOMAIN: VERSION},
        name="sample",
        initializers=builder.constants,
    )
    model = ir.Model(graph, ir_version=10)
    is_double = any(v.dtype is ir.DataType.DOUBLE for v in values)  # for a refusal: literals are float32
    if any(v.type is None for v in outputs) and not is_double:
        ShapeInferencePass()(model)
    return model, feeds


def _argument(builder: NodeBuilder, name: str, value: Any) -> Any:
    """An attribute as it is; an array as an input of the graph or as a constant."""
    if not isinstance(value, np.ndarray):
        return value
    if not (isinstance(value, Drawn) and value.is_input):
        return builder.constant(np.asarray(value), name)
    kind = ir.TensorType(ir.DataType.from_numpy(value.dtype))
    shape = None if value.symbols is None else ir.Shape(value.symbols)
    return ir.Value(name=name, shape=shape, type=kind)
