"""A replacement must be of the dtype, rank and sizes of what it stands for, as far as both are known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import onnx
import onnx_ir as ir

from vampconv.dialect.builder import dims
from vampconv.dialect.op import Dims, fits

SMALL = 64
"""Integer constants of so many elements may be shapes, axes or indices: inference is told their values."""

Known = tuple[ir.DataType | None, Dims | None]


def changed(old: Sequence[ir.Value], new: Sequence[ir.Value], opsets: Mapping[str, int]) -> str | None:
    """What is different about the new values, which nodes outside of any graph make; or None.

    Types and shapes of all values that these nodes make are noted down, where they become known.
    ONNX's inference tells types and shapes of what standard ops make, where the types of all that they are
    made from are known. Of what is empty they may tell nothing: there the meaning itself may be an error.
    """
    found = _inferred(_makers(new), opsets)
    if isinstance(found, str):
        return f"is ill-typed: {found}"
    _note(found)
    for index, (before, after) in enumerate(zip(old, new, strict=True)):
        dtype, shape = found.get(after, (after.dtype, dims(after)))
        which = f" of output {index}" if len(old) > 1 else ""
        if before.dtype is not None and dtype is not None and before.dtype != dtype:
            return f"changes the dtype{which} from {_plain(before.dtype)} to {_plain(dtype)}"
        shape_before = dims(before)
        if shape_before is None or shape is None:
            continue
        if len(shape_before) != len(shape):
            return f"changes the rank{which} from {len(shape_before)} to {len(shape)}"
        for axis, (size, now) in enumerate(zip(shape_before, shape, strict=True)):
            if not fits(size, now):
                return f"changes the size{which} on axis {axis} from {size} to {now}"
    return None


def _note(found: Mapping[ir.Value, Known]) -> None:
    for value, (dtype, shape) in found.items():
        if value.type is None and dtype is not None:
            value.type = ir.TensorType(dtype)
        if value.shape is None and shape is not None:  # inference gives one name to dimensions of many graphs
            value.shape = ir.Shape([size if isinstance(size, int) else None for size in shape])


def _plain(dtype: ir.DataType) -> str:
    return dtype.name.lower()


def _makers(values: Iterable[ir.Value]) -> list[ir.Node]:
    """The new nodes that values are computed by, each after those that it needs."""
    made: dict[ir.Node, None] = {}
    waiting = [(v.producer(), False) for v in values]
    while waiting:
        node, ready = waiting.pop()
        if node is None or node.graph is not None or node in made:
            continue
        if ready:
            made[node] = None
            continue
        waiting.append((node, True))
        waiting += [(v.producer(), False) for v in node.inputs if v is not None]
    return list(made)


def _inferred(nodes: Sequence[ir.Node], opsets: Mapping[str, int]) -> dict[ir.Value, Known] | str:
    """Type and shape of the values that standard ops among the nodes make, or why they are ill-typed."""
    if all(node.domain for node in nodes) or any(_has_graphs(node) for node in nodes):
        return {}
    inside = {v for node in nodes for v in node.outputs}
    named = dict.fromkeys(v for node in nodes for v in (*node.inputs, *node.outputs) if v is not None)
    names = {value: f"v{index}" for index, value in enumerate(named)}
    outer = [v for v in named if v not in inside]
    constants = [_constant(v, names[v]) for v in outer if _tells(v)]
    graph = onnx.GraphProto(
        name="replacement",
        node=[_node(node, names) for node in nodes],
        input=[_info(v, names[v]) for v in outer if not _tells(v)],
        initializer=constants,
        value_info=[_info(v, names[v]) for v in inside if v.type is not None],
    )
    imports = [onnx.OperatorSetIdProto(domain=d, version=n) for d, n in opsets.items()]
    imports += [
        onnx.OperatorSetIdProto(domain=d, version=1) for d in {n.domain for n in nodes} - opsets.keys()
    ]
    model = onnx.ModelProto(ir_version=10, graph=graph, opset_import=imports)
    strict = all(v.type is not None and 0 not in (dims(v) or ()) for v in outer)
    try:
        found = onnx.shape_inference.infer_shapes(
            model, check_type=strict, strict_mode=strict, data_prop=True
        )
    except (onnx.shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        return str(error.__cause__ or error).strip().splitlines()[-1]
    infos = {info.name: info for info in found.graph.value_info}
    known: dict[ir.Value, Known] = {}
    for value in inside:
        if (info := infos.get(names[value])) is not None:
            told = ir.serde.deserialize_value_info_proto(info, None)
            known[value] = told.dtype, dims(told)
    return known


def _has_graphs(node: ir.Node) -> bool:
    """Whether a node has subgraphs, which may use values of the graph outside by their names."""
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


def _tells(value: ir.Value) -> bool:
    tensor = value.const_value
    small = tensor is not None and not isinstance(tensor, ir.LazyTensor) and tensor.size <= SMALL
    return small and tensor is not None and tensor.dtype.is_integer()


def _constant(value: ir.Value, name: str) -> onnx.TensorProto:
    assert value.const_value is not None
    return onnx.numpy_helper.from_array(value.const_value.numpy(), name)


def _info(value: ir.Value, name: str) -> onnx.ValueInfoProto:
    info = onnx.ValueInfoProto(name=name)
    if value.type is not None:
        ir.serde.serialize_type_into(info.type, value.type)
        if value.shape is not None:
            ir.serde.serialize_shape_into(info.type, value.shape)
    return info


def _node(node: ir.Node, names: Mapping[ir.Value, str]) -> onnx.NodeProto:
    return onnx.NodeProto(
        op_type=node.op_type,
        domain=node.domain,
        input=["" if v is None else names[v] for v in node.inputs],
        output=[names[v] for v in node.outputs],
        attribute=[ir.serde.serialize_attribute(a) for a in node.attributes.values()],
    )
