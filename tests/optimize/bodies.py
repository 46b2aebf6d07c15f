"""Models with graphs inside: bodies of Loop, Scan and If that use values of the graphs around them."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .models import FLOAT, model

node = helper.make_node


def value(name, shape=None, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def norm(x, y, name="n", weight="weight", root="mean"):
    """The nodes of an RMSNorm, which use ``eps`` and the weight; `root` may come from elsewhere."""
    squares = [
        node("Mul", [x, x], [f"{name}_squares"]),
        node("ReduceMean", [f"{name}_squares"], [f"{name}_mean"], axes=[-1], keepdims=1),
    ]
    rest = [
        node("Add", [f"{name}_mean" if root == "mean" else root, "eps"], [f"{name}_shifted"]),
        node("Sqrt", [f"{name}_shifted"], [f"{name}_root"]),
        node("Div", [x, f"{name}_root"], [f"{name}_normed"]),
        node("Mul", [f"{name}_normed", weight], [y]),
    ]
    return [*(squares if root == "mean" else []), *rest]


CONSTANTS = {"eps": np.array(1e-5, np.float32), "weight": np.linspace(0.5, 2, 6, dtype=np.float32)}
CONSTANTS |= {"three": np.array(3), "yes": np.array(True)}


WHOLE = ["batch", "time", 6]


def with_constants(nodes, outputs=(("y", WHOLE),), inputs=(("x", WHOLE),), **more):
    return model(nodes, inputs, outputs, initializers=(CONSTANTS | more).items())


def loop(body_nodes, *, x="x", y="y", shape=("batch", "time", 6), constants=(), name="loop"):
    """Three turns over one value, ``a`` in the body and ``b`` after it."""
    body = helper.make_graph(
        [*body_nodes, node("Identity", ["go"], ["go_on"])],
        name,
        [value("i", [], TensorProto.INT64), value("go", [], TensorProto.BOOL), value("a", shape)],
        [value("go_on", [], TensorProto.BOOL), value("b", shape)],
        initializer=[numpy_helper.from_array(array, name) for name, array in constants],
    )
    return node("Loop", ["three", "yes", x], [y], body=body)


def norm_in_loop():
    return with_constants([loop(norm("a", "b"))])


def norm_and_body_constants():
    """Constants that the body holds itself, as an initializer and as nodes."""
    half = numpy_helper.from_array(np.array(0.5, np.float32))
    nodes = [
        node("Constant", [], ["half"], value=half),
        *norm("a", "n"),
        node("Mul", ["n", "half"], ["h"]),
        node("Mul", ["h", "two"], ["b"]),
    ]
    return with_constants([loop(nodes, constants=[("two", np.array(2, np.float32))])])


def norm_in_scan():
    """Over time: one norm of each step, and their running sum."""
    body = helper.make_graph(
        [*norm("step", "out"), node("Add", ["sum", "out"], ["total"])],
        "scan",
        [value("sum", ["batch", 6]), value("step", ["batch", 6])],
        [value("total", ["batch", 6]), value("out", ["batch", 6])],
    )
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("ReduceSum", ["x", "one"], ["zero"], keepdims=0),
        node("Scan", ["zero", "t"], ["last", "y"], body=body, num_scan_inputs=1),
    ]
    return with_constants(nodes, [("last", ["batch", 6]), ("y", ["time", "batch", 6])], one=np.array([1]))


def branches(then, other):
    """``y`` is one of two things, by the sum of x."""
    graphs = [helper.make_graph(nodes, name, [], [value("z")]) for name, nodes in (("a", then), ("b", other))]
    return [
        node("ReduceSum", ["x"], ["sum"], keepdims=0),
        node("Greater", ["sum", "zero"], ["condition"]),
        node("If", ["condition"], ["y"], then_branch=graphs[0], else_branch=graphs[1]),
    ]


def norm_in_branches():
    """The same names are in both branches; one holds a Loop."""
    inner = loop(norm("a", "b", "m"), x="n1", y="z")
    then = [*norm("x", "z", "n")]
    return with_constants(branches(then, [*norm("x", "n1", "n"), inner]), zero=np.array(0, np.float32))


def norm_across_the_border():
    """The mean is computed outside: the rest of the norm is no norm to a rule."""
    outside = [
        node("Mul", ["x", "x"], ["squares"]),
        node("ReduceMean", ["squares"], ["mean"], axes=[-1], keepdims=1),
    ]
    then = norm("x", "z", root="mean_of_x")
    outside[1].output[0] = "mean_of_x"
    return with_constants(
        [*outside, *branches(then, [node("Neg", ["x"], ["z"])])], zero=np.array(0, np.float32)
    )


def norm_that_a_body_looks_into():
    """A body uses the root inside an outer norm, which must stay for it."""
    then = [node("Neg", ["n_root"], ["z"])]
    nodes = [*norm("x", "w"), *branches(then, [node("Abs", ["n_root"], ["z"])])]
    return with_constants(nodes, [("w", WHOLE), ("y", ["batch", "time", 1])], zero=np.array(0, np.float32))


def same_names_that_rules_give():
    """Names as the rewriter makes them are taken, outside and in the body."""
    body = [node("Neg", ["a"], ["val_1"]), node("Neg", ["val_1"], ["val_3"]), *norm("val_3", "b")]
    nodes = [node("Neg", ["x"], ["val_0"]), *norm("val_0", "val_2", "outer"), loop(body, x="val_2")]
    return with_constants(nodes)


def growing():
    """Along an axis that has the same name outside, where it does not grow; a Reshape asks for the outer size."""
    body = [
        node("Concat", ["a", "a"], ["longer"], axis=0),
        node("Shape", ["x"], ["shape"]),
        node("Slice", ["shape", "start", "end"], ["rows"]),
        node("Concat", ["rows", "rest"], ["target"], axis=0),
        node("Reshape", ["a", "target"], ["wide"]),
        node("Shape", ["wide"], ["told"]),
        node("Cast", ["told"], ["number"], to=1),
        node("ReduceSum", ["number"], ["sum"], keepdims=0),
        node("Add", ["longer", "sum"], ["b"]),
    ]
    more = {"start": np.array([0]), "end": np.array([1]), "rest": np.array([-1])}
    return with_constants(
        [loop(body, shape=("n", 2))], [("y", ["rows", 2])], [("x", ["n", 2])], **more
    )  # fmt: skip


def unused():
    """Nothing needs the Loop, nor what only it needs."""
    nodes = [node("Sin", ["x"], ["s"]), loop([node("Add", ["a", "s"], ["b"])], y="lost")]
    return with_constants([*nodes, node("Neg", ["x"], ["y"])])


RAISED = {
    f.__name__: (f, times)
    for f, times in (
        (norm_in_loop, 1),
        (norm_and_body_constants, 1),
        (norm_in_scan, 1),
        (norm_in_branches, 3),
        (norm_across_the_border, 0),
        (norm_that_a_body_looks_into, 0),
        (same_names_that_rules_give, 2),
        (growing, 0),
        (unused, 0),
    )
}
"""Each with how many norms are raised in it."""
