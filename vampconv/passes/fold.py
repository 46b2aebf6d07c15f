"""Turns each constant subgraph into one lazy tensor, computed when it is written and freed after."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import onnx
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with
from onnx_ir.passes.common import RemoveUnusedNodesPass

from vampconv.passes.exact import foldable
from vampconv.passes.expression import Apply, Expression, Leaf, evaluate, leaves, result_dtype
from vampconv.rewrite.trace import rules_of

SMALL = 1 << 16
"""Bytes that a model may always grow by for a constant that is computed in advance."""


DEAR = 1 << 28
"""Bytes of constants from which on a value is left to be computed when the model runs, if the model may not grow."""


class FoldedTensor(ir.LazyTensor):
    """The value of a constant expression; it is not kept."""

    __slots__ = ("expression",)

    def __init__(self, expression: Apply, name: str | None) -> None:
        super().__init__(
            lambda: ir.tensor(evaluate(expression)), expression.dtype, ir.Shape(expression.shape), name=name
        )
        self.expression = expression


def expression_of(value: ir.Value) -> Expression:
    """The expression of a constant of the graph.

    Raises
    ------
    ValueError
        If the value is not a constant.

    """
    tensor = value.const_value
    if tensor is None:
        raise ValueError(f"{value.name} is not a constant")
    return tensor.expression if isinstance(tensor, FoldedTensor) else Leaf(value.name or "", tensor)


def fold_constants(model: ir.Model, *, may_grow: bool = True) -> int:
    """Replace every largest foldable constant subgraph by an initializer; return how many there were.

    Unless it `may_grow`, a subgraph stays whose value is larger than the constants that go with it.
    """
    graph = model.graph
    expressions: dict[ir.Value, Expression] = {
        v: expression_of(v) for v in (*graph.initializers.values(), *_used_of_outer(graph)) if _is_number(v)
    }
    folded: list[ir.Node] = []
    for node in graph:
        applied = _apply(node, expressions, graph.opset_imports[""])
        if applied is not None:
            expressions[node.outputs[0]] = applied
            folded.append(node)
    gone = set(folded)
    roots = [
        n
        for n in folded
        if n.outputs[0].is_graph_output() or any(u not in gone for u in n.outputs[0].consumers())
    ]
    if not may_grow:
        roots = [n for n in roots if _fits(expressions[n.outputs[0]], expressions, gone)]
    for node in roots:
        _initialize(graph, node, expressions[node.outputs[0]])
    if may_grow:
        RemoveUnusedNodesPass()(model)
    return len(roots)


def _used_of_outer(graph: ir.Graph) -> Iterator[ir.Value]:
    """Constants of the graphs around this one that its nodes use."""
    return (v for node in graph for v in node.inputs if v is not None and v.graph is not graph)


def _is_number(value: ir.Value) -> bool:
    """Whether a constant is of a type that is computed with here."""
    tensor = value.const_value
    return tensor is not None and (
        tensor.dtype.is_floating_point() or tensor.dtype in (ir.DataType.INT64, ir.DataType.INT32)
    )


def _fits(result: Expression, expressions: dict[ir.Value, Expression], gone: set[ir.Node]) -> bool:
    """Whether the value is no larger than those constants below it that nothing else uses, nor dear to compute."""
    below = set(leaves(result))
    if sum(leaf.tensor.nbytes for leaf in below) > DEAR:
        return False
    freed = sum(
        leaf.tensor.nbytes
        for value, leaf in expressions.items()
        if isinstance(leaf, Leaf) and leaf in below and all(n in gone for n in value.consumers())
    )
    return math.prod(result.shape) * result.dtype.itemsize <= max(freed, SMALL)


def _initialize(graph: ir.Graph, node: ir.Node, expression: Expression) -> None:
    assert isinstance(expression, Apply)
    old = node.outputs[0]
    name = old.name or "folded"
    while name in graph.initializers:
        name += "'"
    tensor = FoldedTensor(expression, name)
    new = ir.Value(
        name=name, shape=ir.Shape(expression.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
    )
    graph.register_initializer(new)
    replace_all_uses_with(old, new, replace_graph_outputs=True)


def _apply(node: ir.Node, expressions: dict[ir.Value, Expression], opset: int) -> Apply | None:
    """The expression that a node stands for, or None if it is not a foldable operation on constants."""
    inputs = list(node.inputs)
    while inputs and inputs[-1] is None:
        inputs.pop()
    if node.domain or len(node.outputs) != 1 or any(v is None or v not in expressions for v in inputs):
        return None
    arguments = tuple(expressions[v] for v in inputs if v is not None)
    attributes: dict[str, Any] = {name: attribute.value for name, attribute in node.attributes.items()}
    if not arguments or not foldable(node.op_type, [a.shape for a in arguments], attributes):
        return None
    if node.op_type == "Transpose":
        attributes.setdefault("perm", tuple(reversed(range(len(arguments[0].shape)))))
    shape = _shape(node.op_type, arguments, attributes, opset)
    return Apply(node.op_type, arguments, attributes, shape, rules_of(node))


def _shape(
    op_type: str, arguments: tuple[Expression, ...], attributes: dict[str, Any], opset: int
) -> tuple[int, ...]:
    """Shape of an operation's output, by ONNX's own shape inference on its arguments' shapes and integers."""
    names = [f"x{i}" for i in range(len(arguments))]
    node = onnx.helper.make_node(op_type, names, ["y"], **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(n, int(a.dtype), a.shape)
        for n, a in zip(names, arguments, strict=True)
    ]
    constants = [
        onnx.numpy_helper.from_array(evaluate(a), n)
        for n, a in zip(names, arguments, strict=True)
        if isinstance(a, Leaf) and not a.dtype.is_floating_point()
    ]
    output = onnx.helper.make_tensor_value_info("y", int(result_dtype(op_type, arguments, attributes)), None)
    graph = onnx.helper.make_graph([node], "constant", infos, [output], initializer=constants)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True)
    return tuple(d.dim_value for d in inferred.graph.output[0].type.tensor_type.shape.dim)
