"""What is known of a graph's values once its dynamic dimensions have sizes: types, shapes, and small integers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir

from vampconv.dialect import DOMAIN, OPS
from vampconv.dialect.builder import dims
from vampconv.dialect.op import Array
from vampconv.rewrite.execute import run_standard

LENGTHS = (1, 5, 13, 64, 257, 1031, 4099, 16411, 65537)
"""Sizes that are tried, in turn, for a dynamic last axis, until every value of the graph has elements."""
LONG = 101
"""A further size: longer than the distances at which relative attention clips."""
BATCHES = (2, 3, 1)
OTHERS = (1, 2, 3)
"""Sizes of a first axis and of those between, where they are dynamic."""
SMALL = 4096
"""Elements of the largest integer array that is followed through the graph."""


@dataclass(frozen=True)
class Known:
    """Type and shape of a value, and the value itself where it hangs on sizes and constants alone."""

    dtype: ir.DataType
    dims: tuple[int, ...]
    array: Array | None = None


class Sizes:
    """A size for each dynamic dimension, and what follows from them; values may be asked for as they appear."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        self.sizes = sizes
        self._known: dict[ir.Value, Known | None] = {}

    def of(self, value: ir.Value) -> Known | None:
        """What is known of a value, or None where it cannot be told."""
        todo = [value]
        while todo:
            top = todo[-1]
            node = top.producer()
            waiting = [] if node is None or top in self._known else node.inputs
            missing = [v for v in waiting if v is not None and v not in self._known]
            if missing:
                todo += missing
                continue
            todo.pop()
            if top in self._known:
                continue
            if node is None:
                self._known[top] = self._given(top)
            else:
                self._known.update(zip(node.outputs, self._computed(node), strict=True))
        return self._known[value]

    def elements(self, values: Iterable[ir.Value]) -> int:
        """How many elements values have together, as far as it is known."""
        known = (self.of(v) for v in values)
        return sum(int(np.prod(k.dims)) for k in known if k is not None)

    def _given(self, value: ir.Value) -> Known | None:
        """A constant or an input of the graph."""
        tensor = value.const_value
        if tensor is not None:
            shape = tuple(tensor.shape.numpy())
            small = not tensor.dtype.is_floating_point() and tensor.size <= SMALL
            return Known(tensor.dtype, shape, tensor.numpy() if small else None)
        shape_of_input = dims(value)
        if shape_of_input is None or value.dtype is None:
            return None
        return Known(value.dtype, self._sized(shape_of_input))

    def _sized(self, shape: tuple[int | str | None, ...]) -> tuple[int, ...]:
        default = max(self.sizes.values(), default=1)
        return tuple(d if isinstance(d, int) else self.sizes.get(d or "", default) for d in shape)

    def _computed(self, node: ir.Node) -> list[Known | None]:
        unknown: list[Known | None] = [None] * len(node.outputs)
        inputs = [None if v is None else self._known[v] for v in node.inputs]
        if any(k is None and v is not None for k, v in zip(inputs, node.inputs, strict=True)):
            return unknown
        attributes = {name: attribute.value for name, attribute in node.attributes.items()}
        try:
            if node.domain == DOMAIN:
                contract = OPS[node.op_type]
                shape = contract.shape(*(None if k is None else k.dims for k in inputs), **attributes)
                return [Known(ir.DataType.from_numpy(np.dtype(contract.dtype)), self._sized(shape))]
            if not node.domain:
                return self._standard(node, inputs, attributes)
        except (ArithmeticError, LookupError, TypeError, ValueError, RuntimeError):
            return unknown
        return unknown

    def _standard(
        self, node: ir.Node, inputs: list[Known | None], attributes: Mapping[str, Any]
    ) -> list[Known | None]:
        if node.op_type in ("Shape", "Size"):
            assert inputs[0] is not None
            shape = np.array(inputs[0].dims, np.int64)
            array = (
                shape[attributes.get("start", 0) : attributes.get("end")]
                if node.op_type == "Shape"
                else np.array(shape.prod())
            )
            return [Known(ir.DataType.INT64, array.shape, array)]
        if inputs and all(k is None or k.array is not None for k in inputs):
            arrays = run_standard(node, [None if k is None else k.array for k in inputs], _opset(node))
            if all(a.size <= SMALL and a.dtype.kind in "iub" for a in arrays):
                return [Known(ir.DataType.from_numpy(a.dtype), a.shape, a) for a in arrays]
        return _inferred(node, inputs, attributes)


def _opset(node: ir.Node) -> int:
    assert node.graph is not None
    return node.graph.opset_imports[""]


def _inferred(node: ir.Node, inputs: list[Known | None], attributes: Mapping[str, Any]) -> list[Known | None]:
    """Types and shapes of a node's outputs, by ONNX's own inference."""
    names = ["" if k is None else f"x{i}" for i, k in enumerate(inputs)]
    outputs = [f"y{i}" for i in range(len(node.outputs))]
    proto = onnx.helper.make_node(node.op_type, names, outputs, **attributes)
    given = [(n, k) for n, k in zip(names, inputs, strict=True) if k is not None]
    graph = onnx.helper.make_graph(
        [proto],
        "one",
        [onnx.helper.make_tensor_value_info(n, int(k.dtype), k.dims) for n, k in given],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        initializer=[onnx.numpy_helper.from_array(k.array, n) for n, k in given if k.array is not None],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", _opset(node))])
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    return [_known(info) for info in inferred.graph.output]


def _known(info: onnx.ValueInfoProto) -> Known | None:
    tensor = info.type.tensor_type
    if not (tensor.elem_type and tensor.HasField("shape")):
        return None
    if not all(d.HasField("dim_value") for d in tensor.shape.dim):
        return None
    return Known(ir.DataType(tensor.elem_type), tuple(d.dim_value for d in tensor.shape.dim))


def workable_sizes(model: ir.Model) -> list[Sizes]:
    """The two smallest assignments of sizes with which every value has elements, and a long one."""
    found: list[Sizes] = []
    for length in LENGTHS:
        sizes = Sizes(_assignment(model.graph, length, len(found)))
        if _is_workable(model.graph, sizes):
            found.append(sizes)
            if len(found) == 2 or not sizes.sizes:
                break
    long = Sizes(_assignment(model.graph, LONG, 2))
    if long.sizes and _is_workable(model.graph, long):
        found.append(long)
    return found or [Sizes(_assignment(model.graph, LENGTHS[1], 1))]


def _assignment(graph: ir.Graph, length: int, turn: int) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for value in graph.inputs:
        shape = dims(value) or ()
        for axis, dim in enumerate(shape):
            if isinstance(dim, str):
                size = BATCHES[turn] if axis == 0 else length if axis == len(shape) - 1 else OTHERS[turn]
                sizes.setdefault(dim, size)
    return sizes


def _is_workable(graph: ir.Graph, sizes: Sizes) -> bool:
    known = [sizes.of(v) for node in graph for v in node.outputs]
    return all(k is not None and min(k.dims, default=1) > 0 for k in known)
