"""What shapes tell before the graph runs: integers computed from them, and the targets of Reshape."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from onnx_ir.convenience import replace_all_uses_with

from vampconv.dialect.builder import dims
from vampconv.passes.constants import constant
from vampconv.passes.inner import is_inner

BROADCASTING = frozenset({"Add", "Sub", "Mul", "Div", "Min", "Max"})
SMALL = 64
"""Elements of an integer constant that is looked at."""

Element = Hashable
"""An integer, or what stands for a dimension; equal ones are equal whenever the graph runs."""


@dataclass(frozen=True)
class Known:
    """Integers without an axis or along one, as far as they are known."""

    elements: tuple[Element, ...]
    has_axis: bool

    def integers(self) -> list[int] | None:
        whole = [e for e in self.elements if isinstance(e, int)]
        return whole if len(whole) == len(self.elements) else None


def use_known_shapes(model: ir.Model) -> None:
    """Write down integers that follow from shapes, and let Reshape copy dimensions that it keeps in place.

    A target ``Concat(Shape(x)[0], Shape(x)[1], 4, 12)`` of x becomes ``[0, 0, 4, 12]``.
    """
    graph = model.graph
    known: dict[ir.Value, Known] = {}
    for value in graph.initializers.values():
        if (found := _of_constant(value)) is not None:
            known[value] = found
    for node in list(graph):
        if node.domain or len(node.outputs) != 1:
            continue
        if node.op_type == "Reshape":
            _copy_dimensions(graph, node, known)
        if node.op_type in BROADCASTING:
            _drop_expansion(graph, node, known)
        output = node.outputs[0]
        rule = RULES.get(node.op_type)
        result = rule(node, known) if rule is not None else None
        if result is None:
            continue
        known[output] = result
        integers = result.integers()
        if (
            integers is not None
            and not output.is_graph_output()
            and output.dtype in (None, ir.DataType.INT64)
        ):
            array = np.array(integers if result.has_axis else integers[0], np.int64)
            new = constant(ir.tensor(array), output.name)
            replace_all_uses_with(output, new)
            graph.remove(node, safe=True)
            graph.register_initializer(new)
            known[new] = result


def _of_constant(value: ir.Value) -> Known | None:
    tensor = value.const_value
    if (
        tensor is None
        or tensor.dtype is not ir.DataType.INT64
        or tensor.size > SMALL
        or len(tensor.shape) > 1
    ):
        return None
    array = tensor.numpy()
    return Known(tuple(array.reshape(-1).tolist()), array.ndim == 1)


def dimension(value: ir.Value, axis: int) -> Element:
    """What stands for a dimension.

    The names that a file gives to its outputs' dimensions count for nothing, nor those inside a body, where a
    name may stand for another size than outside or in the next iteration.
    """
    size = (dims(value) or ())[axis]
    is_named = size is not None and not (value.is_graph_output() or is_inner(value.graph))
    is_told = isinstance(size, int) or is_named
    return size if is_told else (value, axis)


def _drop_expansion(graph: ir.Graph, node: ir.Node, known: dict[ir.Value, Known]) -> None:
    """An operand that is expanded to the shape of the other need not be."""
    if len(node.inputs) != 2:
        return
    for index, value in enumerate(node.inputs):
        other, maker = node.inputs[1 - index], value.producer() if value is not None else None
        if other is None or maker is None or maker.domain or (shape := dims(other)) is None:
            continue
        target = maker.inputs[-1] if maker.op_type in ("Expand", "ConstantOfShape") else None
        if target is None:
            continue
        wanted = tuple(dimension(other, axis) for axis in range(len(shape)))
        expanded = tuple(
            dimension(maker.outputs[0], axis) for axis in range(len(dims(maker.outputs[0]) or ()))
        )
        if wanted in (expanded, known[target].elements if target in known else None):
            node.replace_input_with(index, _unexpanded(graph, maker))


def _unexpanded(graph: ir.Graph, maker: ir.Node) -> ir.Value | None:
    """What Expand repeats, or the number that ConstantOfShape does."""
    if maker.op_type == "Expand":
        return maker.inputs[0]
    given = maker.attributes.get("value")
    array = np.zeros(1, np.float32) if given is None else given.as_tensor().numpy()
    new = constant(ir.tensor(array.reshape(())), unused_name(graph, f"{maker.outputs[0].name}_element"))
    graph.register_initializer(new)
    return new


def _copy_dimensions(graph: ir.Graph, node: ir.Node, known: dict[ir.Value, Known]) -> None:
    x, target = (*node.inputs, None, None)[:2]
    if x is None or target is None or target not in known or (shape := dims(x)) is None:
        return
    keeps_zeros = "allowzero" in node.attributes and node.attributes["allowzero"].value
    written: list[int] = []
    for axis, element in enumerate(known[target].elements):
        if element == 0 and keeps_zeros:
            return
        if axis < len(shape) and element == dimension(x, axis):
            written.append(0)
        elif isinstance(element, int):
            written.append(element)
        else:
            return
    if target.const_value is not None and target.const_value.numpy().tolist() == written:
        return
    new = constant(ir.tensor(np.array(written, np.int64)), None)
    new.name = unused_name(graph, f"{node.outputs[0].name}_shape")
    graph.register_initializer(new)
    node.replace_input_with(1, new)
    node.attributes.pop("allowzero", None)


def unused_name(graph: ir.Graph, wanted: str) -> str:
    """A name that no initializer of the graph has."""
    name, number = wanted, 0
    while name in graph.initializers:
        number += 1
        name = f"{wanted}.{number}"
    return name


Rule = Callable[[ir.Node, dict[ir.Value, Known]], Known | None]


def _arguments(node: ir.Node, known: dict[ir.Value, Known]) -> list[Known] | None:
    found = [known[v] for v in node.inputs if v is not None and v in known]
    return found if found and len(found) == len(node.inputs) else None


def _attribute(node: ir.Node, name: str, default: int) -> int:
    return node.attributes[name].as_int() if name in node.attributes else default


def _shape(node: ir.Node, _known: dict[ir.Value, Known]) -> Known | None:
    x = node.inputs[0]
    if x is None or (shape := dims(x)) is None:
        return None
    start, end = _attribute(node, "start", 0), _attribute(node, "end", len(shape))
    return Known(tuple(dimension(x, axis) for axis in range(len(shape))[start:end]), has_axis=True)


def _gather(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    arguments = _arguments(node, known)
    if arguments is None or not arguments[0].has_axis or _attribute(node, "axis", 0) not in (0, -1):
        return None
    elements, indices = arguments[0].elements, arguments[1].integers()
    if indices is None or not all(-len(elements) <= i < len(elements) for i in indices):
        return None
    return Known(tuple(elements[i] for i in indices), arguments[1].has_axis)


def _slice(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    arguments = _arguments(node, known)
    if arguments is None or len(arguments) < 3 or not arguments[0].has_axis:
        return None
    starts, ends, axes, steps = ([a.integers() for a in arguments[1:]] + [[0], [1]])[: len(arguments) - 1] + (
        [[0], [1]][len(arguments) - 3 :]
    )
    if starts is None or ends is None or axes not in ([0], [-1]) or steps != [1]:
        return None
    return Known(arguments[0].elements[starts[0] : ends[0]], has_axis=True)


def _concat(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    arguments = _arguments(node, known)
    if arguments is None or not all(a.has_axis for a in arguments):
        return None
    return Known(tuple(e for a in arguments for e in a.elements), has_axis=True)


def _same(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    return known.get(node.inputs[0]) if node.inputs[0] is not None else None


def _cast(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    return _same(node, known) if _attribute(node, "to", 0) == ir.DataType.INT64 else None


def _unsqueeze(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    arguments = _arguments(node, known)
    if arguments is None or len(arguments) != 2 or arguments[0].has_axis:
        return None
    return Known(arguments[0].elements, has_axis=True) if arguments[1].integers() in ([0], [-1]) else None


def _squeeze(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
    arguments = _arguments(node, known)
    if arguments is None or not arguments[0].has_axis or len(arguments[0].elements) != 1:
        return None
    return Known(arguments[0].elements, has_axis=False)


def _binary(compute: Callable[[int, int], int | None]) -> Rule:
    def rule(node: ir.Node, known: dict[ir.Value, Known]) -> Known | None:
        arguments = _arguments(node, known)
        if arguments is None or len(arguments) != 2:
            return None
        first, second = (a.integers() for a in arguments)
        length = max(len(a.elements) for a in arguments)
        if first is None or second is None or {len(first), len(second)} - {1, length}:
            return None
        pairs = zip(first * (length // len(first)), second * (length // len(second)), strict=True)
        results = [compute(a, b) for a, b in pairs]
        if None in results:
            return None
        return Known(tuple(results), any(a.has_axis for a in arguments))

    return rule


def _divided(a: int, b: int) -> int | None:
    """ONNX Div drops the fraction."""
    return None if b == 0 else math.trunc(a / b) if abs(a) < 1 << 52 else None


RULES: dict[str, Rule] = {
    "Shape": _shape,
    "Gather": _gather,
    "Slice": _slice,
    "Concat": _concat,
    "Identity": _same,
    "Cast": _cast,
    "Unsqueeze": _unsqueeze,
    "Squeeze": _squeeze,
    "Add": _binary(lambda a, b: a + b),
    "Sub": _binary(lambda a, b: a - b),
    "Mul": _binary(lambda a, b: a * b),
    "Div": _binary(_divided),
}
"""What each operation does to integers that are known."""
