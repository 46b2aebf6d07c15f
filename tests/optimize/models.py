"""Small ONNX models made by hand, by name: valid, and unlike what torch exports."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def model(nodes, inputs, outputs, *, opset=17, ir_version=8, initializers=(), functions=(), extra=()):
    """A model of `nodes`; inputs and outputs are pairs of name and shape, float32."""
    values = [[helper.make_tensor_value_info(n, FLOAT, s) for n, s in side] for side in (inputs, outputs)]
    constants = [numpy_helper.from_array(array, name) for name, array in initializers]
    graph = helper.make_graph(nodes, "graph", *values, initializer=constants)
    opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(*e) for e in extra)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=ir_version, functions=list(functions))


def rms_norm(*, opset=17, square="Mul", reciprocal="Reciprocal", scale=1.0, axis=-1, **options):
    """``x · 1/sqrt(mean(x²) + eps) · weight`` in its parts."""
    node = helper.make_node
    squares = (
        node("Mul", ["x", "x"], ["squares"]) if square == "Mul" else node("Pow", ["x", "two"], ["squares"])
    )
    if opset >= 18:
        mean = node("ReduceMean", ["squares", "axes"], ["mean"], keepdims=1)
    else:
        mean = node("ReduceMean", ["squares"], ["mean"], axes=[axis], keepdims=1)
    root = [node("Add", ["eps", "mean"], ["shifted"]), node("Sqrt", ["shifted"], ["root"])]
    if reciprocal == "Reciprocal":
        normed = [node("Reciprocal", ["root"], ["inverse"]), node("Mul", ["inverse", "x"], ["normed"])]
    else:
        normed = [node("Div", ["x", "root"], ["normed"])]
    last = node("Mul", ["normed", "weight"], ["y"])
    constants = [
        ("eps", np.array(1e-5, np.float32)),
        ("weight", scale * np.linspace(0.5, 2, 6, dtype=np.float32)),
    ]
    constants += [("two", np.array(2, np.float32))] if square == "Pow" else []
    constants += [("axes", np.array([axis]))] if opset >= 18 else []
    return model(
        [squares, mean, *root, *normed, last],
        [("x", ["batch", "time", 6])],
        options.pop("outputs", [("y", ["batch", "time", 6])]),
        opset=opset, initializers=constants, **options,
    )  # fmt: skip


def t5_bias(capped):
    """The bias of T5 for x [1, time], its buckets by a logarithm as torch exports them."""
    lines = [
        "Shape x > shape", "Gather shape one > length", "Range zero length one > p",
        "Unsqueeze p axis0 > row", "Unsqueeze p axis1 > column", "Sub row column > d", "Greater d zero > is_right",
        "Cast is_right > r", "Mul r sixteen > right", "Abs d > n", "Cast n > f", "Div f exact > q", "Log q > l",
        "Div l ln16 > s", "Mul s exact > t", "Cast t > u", "Add u eight > far", "Shape far > far_shape",
        "Expand fifteen far_shape > cap" if capped == "Expand" else "ConstantOfShape far_shape > cap",
        "Min far cap > far_capped", "Less n eight > near", "Where near n far_capped > b", "Add right b > bucket",
        "Gather table bucket > rows", "Transpose rows > by_head", "Unsqueeze by_head axis0 > y",
    ]  # fmt: skip
    fifteen = numpy_helper.from_array(np.array([15]))
    attributes = {"r": {"to": 7}, "f": {"to": 1}, "u": {"to": 7}, "by_head": {"perm": [2, 0, 1]}}
    attributes["cap"] = {"value": fifteen} if capped != "Expand" else {}
    nodes = []
    for line in lines:
        (op_type, *arguments), output = line.split(" > ")[0].split(), line.split(" > ")[1]
        nodes.append(helper.make_node(op_type, arguments, [output], **attributes.get(output, {})))
    integers = {"zero": 0, "one": 1, "eight": 8, "fifteen": 15, "sixteen": 16, "axis0": [0], "axis1": [1]}
    constants = {name: np.array(value, np.int64) for name, value in integers.items()}
    constants |= {"exact": np.array(8, np.float32), "ln16": np.array(np.log(16), np.float32)}
    constants["table"] = np.random.default_rng(0).standard_normal((32, 3)).astype(np.float32)
    return model(nodes, [("x", [1, "time"])], [("y", None)], initializers=constants.items())


def with_if():
    """A value of the outer graph is used in both branches."""
    output = helper.make_tensor_value_info("z", FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node(op, ["h"], ["z"])], op, [], [output])
        for op in ("Neg", "Abs")
    ]  # fmt: skip
    nodes = [
        helper.make_node("Sin", ["x"], ["h"]),
        helper.make_node("ReduceSum", ["x"], ["sum"], keepdims=0),
        helper.make_node("Greater", ["sum", "zero"], ["condition"]),
        helper.make_node("If", ["condition"], ["y"], then_branch=branches[0], else_branch=branches[1]),
    ]
    zero = [("zero", np.array(0, np.float32))]
    return model(nodes, [("x", [2, 3])], [("y", [2, 3])], initializers=zero)


def with_function():
    """A function of the model's own."""
    body = [helper.make_node("Mul", ["a", "a"], ["s"]), helper.make_node("Add", ["s", "a"], ["b"])]
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("own", "Twist", ["a"], ["b"], body, imports)
    nodes = [helper.make_node("Twist", ["x"], ["y"], domain="own")]
    return model(nodes, [("x", [2, 3])], [("y", [2, 3])], functions=[function], extra=[("own", 1)])


def with_default():
    """A Snake whose alpha is an input with a default value: no constant."""
    nodes = [
        helper.make_node("Mul", ["x", "alpha"], ["u"]),
        helper.make_node("Sin", ["u"], ["s"]),
        helper.make_node("Mul", ["s", "s"], ["w"]),
        helper.make_node("Mul", ["inverse", "w"], ["scaled"]),
        helper.make_node("Add", ["x", "scaled"], ["y"]),
    ]
    constants = [(name, np.ones((1, 4, 1), np.float32)) for name in ("alpha", "inverse")]
    return model(nodes, [("x", [2, 4, 5]), ("alpha", [1, 4, 1])], [("y", [2, 4, 5])], initializers=constants)


def with_constant_nodes():
    """IR version 3, in which every initializer must be an input."""
    nodes = [
        helper.make_node("Constant", [], ["eps"], value=numpy_helper.from_array(np.array(1e-5, np.float32))),
        helper.make_node("Constant", [], ["weight"], value=numpy_helper.from_array(np.ones(6, np.float32))),
        *rms_norm().graph.node,
    ]
    return model(nodes, [("x", ["b", "t", 6])], [("y", ["b", "t", 6])], ir_version=3, opset=13)


def without_names():
    """Nodes of a domain that nobody knows, one unused."""
    nodes = [
        helper.make_node("Puzzle", ["x"], ["h"], domain="nobody", depth=3),
        helper.make_node("Puzzle", ["x"], ["lost"], domain="nobody"),
        helper.make_node("Relu", ["h"], ["y"]),
    ]
    return model(nodes, [("x", [2, 3])], [("y", [2, 3])], extra=[("nobody", 1)])


def with_sparse():
    """A sparse initializer."""
    values = numpy_helper.from_array(np.array([2, 3], np.float32), "w")
    indices = numpy_helper.from_array(np.array([0, 2]), "w_indices")
    made = model([helper.make_node("Mul", ["x", "w"], ["y"])], [("x", [3])], [("y", [3])])
    made.graph.sparse_initializer.append(helper.make_sparse_tensor(values, indices, [3]))
    return made


def with_strings():
    """Strings, and no float anywhere."""
    text = onnx.helper.make_tensor("text", TensorProto.STRING, [2], [b"a", b"b"])
    node = helper.make_node("Identity", ["text"], ["y"])
    output = helper.make_tensor_value_info("y", TensorProto.STRING, [2])
    graph = helper.make_graph([node], "graph", [], [output], initializer=[text])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def without_nodes():
    """An input that is the output."""
    return model([], [("x", [2])], [("x", [2])])


VALID = {
    f.__name__: f
    for f in (
        rms_norm,
        with_if,
        with_function,
        with_default,
        with_constant_nodes,
        without_names,
        with_sparse,
        with_strings,
        without_nodes,
    )
}
