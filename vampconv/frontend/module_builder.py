"""Building graphs module by module: scopes, inputs, weights, and linears with their LoRA pairs."""

from __future__ import annotations

import json
from collections.abc import Container, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import onnx_ir as ir

from vampconv.dialect import DOMAIN, NodeBuilder, vamp
from vampconv.dialect.builder import FUSED, VALUE
from vampconv.dialect.op import VERSION
from vampconv.frontend.lora import SCALE, pair_of
from vampconv.frontend.weights import Weights

ARCHITECTURE = "vampconv.architecture"
"""Key of the model's metadata under which its architecture stands, as JSON."""


class ModuleBuilder:
    """A graph under construction, and the module path that new nodes stand for.

    Parameters
    ----------
    weights
        The checkpoint's tensors.
    fine_tune
        A LoRA fine-tune that takes the place of the checkpoint's own pairs.
    adaptable
        Paths of the linears that may carry a LoRA pair.

    Attributes
    ----------
    op
        Builds nodes of standard ONNX.
    vamp
        Builds nodes of the ``vamp`` domain.

    """

    def __init__(
        self, weights: Weights, fine_tune: Weights | None = None, adaptable: Container[str] = ()
    ) -> None:
        self.weights = weights
        self.fine_tune = fine_tune
        self.adaptable = adaptable
        self.op = NodeBuilder()
        self.vamp = vamp(self.op)
        self.inputs: list[ir.Value] = []
        self._tensors: dict[str, ir.Value] = {}

    @property
    def path(self) -> str:
        """Path of the present module."""
        return self.op.module

    @contextmanager
    def module(self, path: str) -> Iterator[None]:
        """Everything built inside stands for the module `path` below the present one."""
        outer = self.op.module
        self.op.module = f"{outer}.{path}" if outer else path
        try:
            yield
        finally:
            self.op.module = outer

    def mark(self, value: ir.Value, *names: str, order: str = "") -> ir.Value:
        """Say which values of the PyTorch model this one is: by default, what the present module puts out.

        See `vampconv.dialect.builder.VALUE` for how they are written; a name that begins with a dot, or
        with ``>.``, is of a module below the present one.
        """
        node = value.producer()
        assert node is not None
        whole = [self._below(name) for name in names or (self.path,)]
        known = node.metadata_props.get(VALUE, "").split()
        node.metadata_props[VALUE] = " ".join([*known, *(f"{n}@{order}" if order else n for n in whole)])
        return value

    def absorb(self, value: ir.Value, *names: str, why: str = "") -> None:
        """Say which values of the PyTorch model are not there: the operator that makes `value` has them inside.

        Or `why` they are not, in one word: ``unused``.
        """
        node = value.producer()
        assert node is not None
        node.metadata_props[FUSED] = " ".join(f"{self._below(n)}={why or node.op_type}" for n in names)

    def _below(self, name: str) -> str:
        into, path = (">", name[1:]) if name.startswith(">") else ("", name)
        is_below = path.startswith(".") and path != "." and not path.startswith(".#")
        return f"{into}{self.path}{path}" if is_below else name

    def input(self, name: str, dtype: ir.DataType, *shape: int | str) -> ir.Value:
        """A new input of the graph; a name in its shape is a dynamic dimension."""
        value = ir.Value(name=name, shape=ir.Shape(shape), type=ir.TensorType(dtype))
        self.inputs.append(value)
        return value

    def weight(self, name: str, *shape: int) -> ir.Value:
        """A weight of the present module."""
        return self.tensor(f"{self.path}.{name}", *shape)

    def tensor(self, name: str, *shape: int) -> ir.Value:
        """A weight by its whole name; asked for again, the same value."""
        if name not in self._tensors:
            self._tensors[name] = self.weights.take(name, *shape)
        return self._tensors[name]

    def linear(self, name: str, x: ir.Value, out: int, into: int) -> ir.Value:
        """A linear without a bias; an adaptable one with the LoRA pair over it that there is."""
        with self.module(name):
            weight = self.weight("weight", out, into)
            if self.path in self.adaptable:
                weight = self._adapted(weight, (out, into))
            return self.mark(self.vamp.Linear(x, weight))

    def linear_with_bias(self, name: str, x: ir.Value, out: int, into: int) -> ir.Value:
        """A linear whose bias is optional."""
        with self.module(name):
            weight = self.weight("weight", out, into)
            bias = (self.weight("bias", out),) if f"{self.path}.bias" in self.weights else ()
            return self.mark(self.vamp.Linear(x, weight, *bias))

    def add(self, x: ir.Value, y: ir.Value) -> ir.Value:
        """The sum of two values of one shape."""
        total: ir.Value = self.op.Add(x, y)
        total.shape, total.type = x.shape, x.type
        return total

    def finish(self, name: str, output: ir.Value, opset: int, architecture: Mapping[str, Any]) -> ir.Model:
        """The model of all that was built."""
        opsets = {"": opset, DOMAIN: VERSION}
        graph = ir.Graph(self.inputs, [output], nodes=self.op.nodes, name=name, opset_imports=opsets)
        used = (v for node in graph for v in node.inputs if v is not None and v.const_value is not None)
        for constant in dict.fromkeys(used):
            if constant.name is None:
                constant.name = f"number.{len(graph.initializers)}"
            graph.register_initializer(constant)
        return ir.Model(graph, ir_version=10, metadata_props={ARCHITECTURE: json.dumps(architecture)})

    def _adapted(self, weight: ir.Value, size: tuple[int, int]) -> ir.Value:
        """The weight with the LoRA pair over it: the fine-tune's, or the checkpoint's own, or none."""
        pair = pair_of(self.path, size)
        own = [name for name in pair if name in self.weights]
        if own:
            for name, shape in pair.items():
                self.weights.expect(name, shape)
        if self.fine_tune:
            self.weights.put_aside(own)
        elif not own:
            return weight
        source = self.fine_tune or self.weights
        a, b = (source.take(name, *shape) for name, shape in pair.items())
        return self.vamp.LoRA(weight, a, b, scale=SCALE)
