"""Valid models of every kind that an optimiser might stumble over, by name."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .models import FLOAT, model, rms_norm

node = helper.make_node


def quantised_by_pairs():
    """A product between QuantizeLinear and DequantizeLinear."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        node("DequantizeLinear", ["wq", "scale", "zero"], ["w"]),
        node("MatMul", ["d", "w"], ["m"]),
        node("QuantizeLinear", ["m", "scale", "zero"], ["mq"]),
        node("DequantizeLinear", ["mq", "scale", "zero"], ["y"]),
    ]
    constants = {"scale": np.array(0.05, np.float32), "zero": np.array(3, np.int8)}
    constants["wq"] = np.arange(-8, 8, dtype=np.int8).reshape(4, 4)
    return model(nodes, [("x", ["n", 4])], [("y", ["n", 4])], initializers=constants.items())


def quantised_operator():
    """QLinearMatMul and ConvInteger's family have no float in the middle."""
    nodes = [
        node("QuantizeLinear", ["x", "scale", "zero"], ["q"]),
        node("QLinearMatMul", ["q", "scale", "zero", "wq", "scale", "zero", "scale", "zero"], ["m"]),
        node("DequantizeLinear", ["m", "scale", "zero"], ["y"]),
    ]
    constants = {"scale": np.array(0.05, np.float32), "zero": np.array(128, np.uint8)}
    constants["wq"] = np.arange(16, dtype=np.uint8).reshape(4, 4)
    return model(nodes, [("x", ["n", 4])], [("y", ["n", 4])], initializers=constants.items())


def outputs_that_are_one_value():
    """By Identity, and once more by a constant and an input."""
    nodes = [node("Neg", ["x"], ["y"]), node("Identity", ["y"], ["z"]), node("Identity", ["c"], ["w"])]
    return model(
        [*nodes, node("Identity", ["x"], ["v"])],
        [("x", [2])],
        [(name, [2]) for name in ("y", "z", "w", "v")],
        initializers=[("c", np.ones(2, np.float32))],
    )


def equal_outputs():
    """Two equal computations, both of them outputs."""
    nodes = [node("Neg", ["x"], ["y"]), node("Neg", ["x"], ["z"])]
    return model(nodes, [("x", [2])], [("y", [2]), ("z", [2])])


def constant_output():
    """An initializer that is an output."""
    nodes = [node("Neg", ["x"], ["y"])]
    constants = [("c", np.ones(2, np.float32))]
    return model(nodes, [("x", [2])], [("y", [2]), ("c", [2])], initializers=constants)


def empty_inputs():
    """Optional inputs that are left out in the middle, and outputs at the end."""
    nodes = [
        node("Clip", ["x", "", "high"], ["c"]),
        node("Resize", ["c", "", "scales"], ["r"], mode="nearest"),
        node("Dropout", ["r"], ["y", ""]),
    ]
    constants = {"high": np.array(0.5, np.float32), "scales": np.array([1, 1, 2], np.float32)}
    return model(nodes, [("x", [1, 2, 3])], [("y", [1, 2, 6])], initializers=constants.items())


def double():
    """An RMSNorm in float64, which the dialect does not know."""
    made = rms_norm()
    for tensor in made.graph.initializer:
        tensor.CopyFrom(
            numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float64), tensor.name)
        )
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return made


def with_training():
    """Training information, and a graph that is optimised otherwise."""
    made = rms_norm()
    made.training_info.add().algorithm.name = "step"
    return made


def nested_function():
    """A function that calls another, with an attribute that it is given."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    leak = node("LeakyRelu", ["a"], ["b"])
    leak.attribute.append(
        onnx.AttributeProto(name="alpha", ref_attr_name="slope", type=onnx.AttributeProto.FLOAT)
    )
    inner = helper.make_function("own", "Leak", ["a"], ["b"], [leak], imports, ["slope"])
    call = node("Leak", ["a"], ["b"], domain="own", slope=0.25)
    outer = helper.make_function(
        "own", "Twice", ["a"], ["c"], [call, node("Add", ["b", "b"], ["c"])], imports
    )
    nodes = [node("Twice", ["x"], ["y"], domain="own")]
    return model(nodes, [("x", [2])], [("y", [2])], functions=[inner, outer], extra=[("own", 1)])


def sequences():
    """A list of tensors, and what is optional."""
    nodes = [
        node("SequenceConstruct", ["x", "x"], ["s"]),
        node("SplitToSequence", ["x"], ["t"], axis=0),
        node("SequenceAt", ["t", "one"], ["u"]),
        node("ConcatFromSequence", ["s"], ["v"], axis=0),
        node("Add", ["u", "v"], ["y"]),
    ]
    return model(nodes, [("x", [2, 3])], [("y", [4, 3])], initializers=[("one", np.array(1))])


def foreign_domain():
    """An operation of ONNX Runtime's own, between two that are known."""
    nodes = [
        node("Neg", ["x"], ["h"]),
        node("Gelu", ["h"], ["g"], domain="com.microsoft"),
        node("Neg", ["g"], ["y"]),
    ]
    return model(nodes, [("x", [2])], [("y", [2])], extra=[("com.microsoft", 1)])


def half_precision():
    """float16 throughout."""
    made = model([node("Mul", ["x", "w"], ["y"])], [("x", [2])], [("y", [2])])
    made.graph.initializer.append(numpy_helper.from_array(np.ones(2, np.float16), "w"))
    for value in (*made.graph.input, *made.graph.output):
        value.type.tensor_type.elem_type = TensorProto.FLOAT16
    return made


def without_ranks():
    """Nothing is said of the shapes of inner values, and no inference tells them."""
    nodes = [
        node("Reshape", ["x", "shape"], ["h"]),
        node("Mul", ["h", "h"], ["s"]),
        node("ReduceMean", ["s"], ["m"], axes=[-1], keepdims=1),
        node("Div", ["h", "m"], ["y"]),
    ]
    made = model(nodes, [("x", [2, 6])], [("y", ["a", "b", "c"])])
    made.graph.input.append(helper.make_tensor_value_info("shape", TensorProto.INT64, [3]))
    return made


VALID = {
    f.__name__: f
    for f in (
        quantised_by_pairs,
        quantised_operator,
        outputs_that_are_one_value,
        equal_outputs,
        constant_output,
        empty_inputs,
        double,
        with_training,
        nested_function,
        sequences,
        foreign_domain,
        half_precision,
        without_ranks,
    )
}

OLD = [(opset, ir_version) for opset in (7, 8, 9, 10, 11, 12) for ir_version in (3, 4, 7)]


def old(opset, ir_version):
    """A small network as it was written then."""
    constants = {"w": np.ones((3, 3), np.float32), "b": np.ones(3, np.float32)}
    nodes = [node("Gemm", ["x", "w", "b"], ["g"]), node("Softmax", ["g"], ["y"], axis=1)]
    made = model(
        nodes,
        [("x", [2, 3])],
        [("y", [2, 3])],
        opset=opset,
        ir_version=ir_version,
        initializers=constants.items(),
    )
    if ir_version < 4:
        for name, array in constants.items():
            made.graph.input.append(helper.make_tensor_value_info(name, FLOAT, array.shape))
    return made
