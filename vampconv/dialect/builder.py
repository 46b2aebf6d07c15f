"""How graphs and patterns are written: ``op.Add(x, y)`` and ``vamp(op).RMSNorm(x, weight, eps=1e-6)``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.dialect.op import DOMAIN, OPS, Array, Dims

MODULE = "vampconv.module"
"""Key of a node's metadata: the path of the module that it stands for."""
VALUE = "vampconv.value"
"""Key of a node's metadata: which values of the PyTorch model its first output is, separated by blanks.

``path`` is what the module at that path puts out, ``>path`` what it takes, ``.`` what the whole model puts
out; ``#1`` after it is the second of several. ``@021`` says in which order the axes are here, ``@+201`` that
there is an axis of size 1 before them.
"""
FUSED = "vampconv.fused"
"""Key of a node's metadata: such values that are not there any more, each as ``path=why``."""

Emit = Callable[[str, str, tuple[Any, ...], dict[str, Any], int], Any]
Way = Callable[[], Any]
Take = Callable[[tuple[Way, ...]], Any]


def first_of(ways: tuple[Way, ...]) -> Any:
    """The first of several ways to write a value."""
    return ways[0]()


class Ops:
    """One op domain as a namespace of functions.

    Every function takes its inputs in order and its attributes by keyword, and returns the output
    value, or a tuple of them with ``outputs=n``. What a call does is up to `emit`: it makes a node,
    or a part of a pattern. `take` says which of the ways of `either` is taken.
    """

    def __init__(self, emit: Emit, domain: str = "", take: Take = first_of) -> None:
        self.emit = emit
        self.domain = domain
        self.take = take

    def either(self, *ways: Way) -> Any:
        """One value that may be written in several ways: a pattern matches any of them."""
        return self.take(ways)

    def __getattr__(self, op_type: str) -> Callable[..., Any]:
        if op_type.startswith("_"):
            raise AttributeError(op_type)

        def call(*inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
            return self.emit(self.domain, op_type, inputs, attributes, outputs)

        return call


def vamp(op: Ops) -> Ops:
    """The same builder, speaking the ``vamp`` domain."""
    return Ops(op.emit, DOMAIN, op.take)


def microsoft(op: Ops) -> Ops:
    """The same builder, speaking ONNX Runtime's own domain: for rules of the target ``ort``."""
    return Ops(op.emit, "com.microsoft", op.take)


class NodeBuilder(Ops):
    """Makes `onnx_ir` nodes; numbers and arrays among the inputs become constants.

    Python floats become float32 scalars, integers int64 scalars, and lists of integers int64 vectors.

    Parameters
    ----------
    module
        Path of the module that new nodes stand for.
    ways
        Which way of each `either` to take, in the order in which they are met; the first of those beyond.

    Attributes
    ----------
    choices
        How many ways each `either` had.

    """

    def __init__(self, module: str = "", ways: Sequence[int] = ()) -> None:
        super().__init__(self._emit, take=self._take)
        self.module = module
        self.ways = ways
        self.choices: list[int] = []
        self.nodes: list[ir.Node] = []
        self.constants: list[ir.Value] = []

    def constant(self, value: float | Sequence[int] | Array, name: str | None = None) -> ir.Value:
        """A constant of the graph."""
        array = np.asarray(value)
        if isinstance(value, float):
            array = array.astype(np.float32)
        tensor = ir.tensor(array, name=name)
        constant = ir.Value(
            name=name, shape=ir.Shape(array.shape), type=ir.TensorType(tensor.dtype), const_value=tensor
        )
        self.constants.append(constant)
        return constant

    def _take(self, ways: tuple[Way, ...]) -> Any:
        index = len(self.choices)
        self.choices.append(len(ways))
        return ways[self.ways[index] if index < len(self.ways) else 0]()

    def _emit(
        self, domain: str, op_type: str, inputs: tuple[Any, ...], attributes: dict[str, Any], outputs: int
    ) -> Any:
        values = [v if v is None or isinstance(v, ir.Value) else self.constant(v) for v in inputs]
        node = ir.node(op_type, values, attributes, domain=domain, num_outputs=outputs)
        node.metadata_props[MODULE] = self.module
        if domain == DOMAIN and op_type in OPS:
            _infer(node, attributes)
        self.nodes.append(node)
        return node.outputs[0] if outputs == 1 else tuple(node.outputs)


def dims(value: ir.Value) -> Dims | None:
    """The dimensions of a value, as far as they are known."""
    if value.shape is None:
        return None
    return tuple(d if isinstance(d, int) else d.value for d in value.shape)


def _infer(node: ir.Node, attributes: dict[str, Any]) -> None:
    """Set type and shape of a ``vamp`` node's output by its op's shape rule, where all inputs are known."""
    contract = OPS[node.op_type]
    output = node.outputs[0]
    output.type = ir.TensorType(ir.DataType.from_numpy(np.dtype(contract.dtype)))
    shapes = [None if v is None else dims(v) for v in node.inputs]
    if all(v is None or s is not None for v, s in zip(node.inputs, shapes, strict=True)):
        try:
            output.shape = ir.Shape(contract.shape(*shapes, **attributes))
        except ValueError as error:
            raise ValueError(f"{DOMAIN}.{node.op_type}: {error}") from error
