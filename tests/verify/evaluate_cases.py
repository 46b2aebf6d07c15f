"""Operators with inputs and attributes to evaluate them on."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

OPSET = 23
RANDOM = np.random.default_rng(0)
CASES: list[pytest.param] = []
COVERED: set[str] = set()
ROUNDED = {"Attention-1", "Erf-0", "Gelu-0", "Gelu-1", *(f"DynamicQuantizeLinear-{n}" for n in (0, 1, 3))}
"""Cases that ONNX's evaluator computes with float32 constants."""
REFUSED = {"Pad-1", "ReduceLogSumExp-4", *(f"ConvTranspose-{n}" for n in range(3, 8))}
"""Cases that it cannot compute: negative pads, a reduced scalar, groups, dilations of images."""
NOT_RUN = {"Attention-3"}
"""Cases that ONNX Runtime cannot compute: a mask shorter than the keys."""


def f(*shape, scale=1.0):
    return (RANDOM.standard_normal(shape) * scale).astype(np.float32)


def i(*values, dtype=np.int64):
    return np.array(values, dtype)


def b(*values):
    return np.array(values, np.bool_)


def one_node(op, inputs, attributes, outputs=1, opset=OPSET, domain=""):
    """A model of one node; None leaves an input out."""
    inputs = [None if x is None else np.asarray(x) for x in inputs]
    names = ["" if x is None else f"x{n}" for n, x in enumerate(inputs)]
    results = [f"y{n}" for n in range(outputs)]
    node = onnx.helper.make_node(op, names, results, name="the node", domain=domain, **attributes)
    infos = [
        onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)
        for n, x in zip(names, inputs, strict=True)
        if x is not None
    ]
    graph = onnx.helper.make_graph([node], "g", infos, [onnx.ValueInfoProto(name=n) for n in results])
    opsets = [onnx.helper.make_opsetid("", opset)]
    opsets += [onnx.helper.make_opsetid(domain, 1)] if domain else []
    model = onnx.helper.make_model(graph, opset_imports=opsets, ir_version=10)
    return model, {n: x for n, x in zip(names, inputs, strict=True) if x is not None}


def case(op, *inputs, outputs=1, opset=OPSET, **attributes):
    name = f"{op}-{sum(str(c.id).startswith(f'{op}-') for c in CASES)}"
    COVERED.add(op)
    CASES.append(pytest.param(*one_node(op, inputs, attributes, outputs, opset), id=name))


SIGNED, POSITIVE = f(2, 3, 4, scale=2), np.abs(f(2, 3, 4)) + np.float32(0.1)
WHOLE = RANDOM.integers(-9, 10, (2, 3, 4))
for op in ("Abs", "Atan", "Ceil", "Cos", "Erf", "Exp", "Floor", "Identity", "Neg", "Relu"):
    case(op, SIGNED)
for op in ("Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Tan", "Tanh", "LeakyRelu", "Elu"):
    case(op, SIGNED)
for op in ("Log", "Reciprocal", "Sqrt"):
    case(op, POSITIVE)
for op in ("Abs", "Neg", "Sign"):
    case(op, WHOLE)
case("Round", np.float32([-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 1e9]))
case("Softplus", np.float32([-90, -1, 0, 15, 25, 90]))
case("LeakyRelu", SIGNED, alpha=0.3)
case("Elu", SIGNED, alpha=0.3)
case("Selu", SIGNED, alpha=1.5, gamma=2.0)
case("Gelu", SIGNED)
case("Gelu", SIGNED, approximate="tanh")
case("PRelu", SIGNED, f(3, 1))
for op in (
    "Add",
    "Sub",
    "Mul",
    "Div",
    "Max",
    "Min",
    "Equal",
    "Greater",
    "GreaterOrEqual",
    "Less",
    "LessOrEqual",
):
    case(op, SIGNED, f(3, 1))
    case(op, WHOLE, i(3, -2, 5, 1))
for op in ("Max", "Min", "Sum", "Mean"):
    case(op, SIGNED, f(4), f(2, 1, 1))
    case(op, SIGNED)
for op in ("And", "Or", "Xor"):
    case(op, b([True, False], [False, False]), b(True, False))
case("Not", b(True, False))
case("Mod", WHOLE, i(3, -2, 5, -7))
case("Mod", WHOLE, i(3, -2, 5, -7), fmod=1)
case("Mod", SIGNED, np.float32(0.7), fmod=1)
case("Pow", POSITIVE, f(4))
case("Pow", SIGNED, i(3))
case("Pow", WHOLE, i(2))
case("Clip", SIGNED, np.float32(-0.5), np.float32(0.5))
case("Clip", SIGNED, None, np.float32(0.5))
case("Clip", SIGNED, np.float32(0.5))
case("Clip", SIGNED, np.float32(1), np.float32(-1))
case("Clip", WHOLE, np.int64(-3), np.int64(4))
case("Clip", SIGNED)
case("Where", WHOLE > 0, SIGNED, f(4))
case("IsNaN", np.float32([0, np.nan, np.inf]))
case("IsInf", np.float32([0, np.nan, np.inf, -np.inf]))
case("IsInf", np.float32([0, np.nan, np.inf, -np.inf]), detect_negative=0)

for to in (TensorProto.INT64, TensorProto.INT32, TensorProto.BOOL, TensorProto.DOUBLE, TensorProto.UINT8):
    case("Cast", POSITIVE, to=to)
case("Cast", SIGNED, to=TensorProto.INT64)
case("Cast", b(True, False), to=TensorProto.INT64)
case("CastLike", SIGNED, i(1))
case("Constant", value=onnx.numpy_helper.from_array(i([1, 2], [3, 4])))
case("Constant", value_ints=[1, 2])
case("Constant", value_int=7)
case("ConstantOfShape", i(2, 3), value=onnx.numpy_helper.from_array(i(5)))
case("ConstantOfShape", np.zeros(0, np.int64), value=onnx.numpy_helper.from_array(i(5)))
case("Range", np.int64(2), np.int64(11), np.int64(3))
case("Range", np.int64(5), np.int64(-5), np.int64(-2))
case("Range", np.int64(5), np.int64(5), np.int64(1))
case("Range", np.float32(0.5), np.float32(3.1), np.float32(0.25))

for op in ("ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin"):
    case(op, POSITIVE, i(-1))
    case(op, POSITIVE, i(0, 2), keepdims=0)
    case(op, POSITIVE, axes=[1], opset=17)
for op in ("ReduceProd", "ReduceSum", "ReduceSumSquare", "ReduceMax"):
    case(op, SIGNED, i(0, -1))
    case(op, SIGNED)
    case(op, SIGNED, keepdims=0)
    case(op, WHOLE, i(1), keepdims=0)
for op in ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceSum", "ReduceSumSquare"):
    case(op, SIGNED, noop_with_empty_axes=1)
    case(op, SIGNED[0, 0, 0])
case("ReduceSum", SIGNED, i(1, 2), keepdims=0, opset=17)
for op in ("ArgMax", "ArgMin"):
    for last in (0, 1):
        case(op, WHOLE.astype(np.float32) // 5, axis=-1, keepdims=0, select_last_index=last)
        case(op, np.zeros((3, 4), np.float32), axis=1, select_last_index=last)
    case(op, SIGNED)
for flags in ({}, {"exclusive": 1}, {"reverse": 1}, {"exclusive": 1, "reverse": 1}):
    case("CumSum", SIGNED, np.int64(1), **flags)
case("CumSum", WHOLE, np.int64(-1))
for op in ("Softmax", "LogSoftmax"):
    case(op, SIGNED * 40, axis=1)
    case(op, SIGNED)
case("TopK", SIGNED, i(3), outputs=2)
case("TopK", WHOLE.astype(np.float32) // 4, i(2), axis=1, largest=0, outputs=2)
case("TopK", WHOLE.astype(np.float32) // 4, i(2), axis=1, outputs=2)

case("Concat", SIGNED, f(2, 1, 4), axis=-2)
case("Expand", f(3, 1), i(2, 1, 4))
case("Flatten", SIGNED)
case("Flatten", SIGNED, axis=-1)
case("Reshape", SIGNED, i(0, -1))
case("Reshape", SIGNED, i(4, -1, 2))
case("Reshape", np.zeros((0, 3), np.float32), i(3, 0), allowzero=1)
case("Shape", SIGNED)
for start, end in ((1, 2), (-2, 99), (0, -1), (2, 1), (-99, 2)):
    case("Shape", SIGNED, start=start, end=end)
case("Size", SIGNED)
case("Split", f(2, 7), i(3, 4), axis=-1, outputs=2)
case("Split", f(2, 6), axis=1, outputs=3, opset=17)
case("Split", f(2, 7), axis=1, num_outputs=3, outputs=3)
case("Squeeze", f(2, 1, 3, 1), i(1, -1))
case("Squeeze", f(2, 1, 3, 1))
case("Unsqueeze", f(2, 3), i(3, 0, -3))
case("Tile", SIGNED, i(2, 1, 3))
case("Transpose", SIGNED, perm=[2, 0, 1])
case("Transpose", SIGNED)
for upper in (0, 1):
    case("Trilu", f(4, 5), np.int64(-1), upper=upper)
case("Trilu", f(2, 4, 3))
case("Pad", SIGNED, i(0, 1, 0, 2, 0, 3), np.float32(7))
case("Pad", SIGNED, i(0, -1, 0, 0, 2, -2))
case("Pad", WHOLE, i(1, 2), np.int64(3), i(-1))
case("Slice", SIGNED, i(1, -1), i(2**40, 0), i(2, 1), i(1, -1))
case("Slice", SIGNED, i(0), i(1))

case("Gather", SIGNED, i([0, -1], [2, 1]), axis=1)
case("Gather", SIGNED, np.int32(-1), axis=-1)
case("Gather", SIGNED, i(1), axis=0)
case("GatherElements", SIGNED, i([[1, -1, 0, 2]], [[0, 0, 1, 1]]), axis=1)
case("GatherND", SIGNED, i([0, 1], [-1, 2]))
case("GatherND", SIGNED, i([[2], [1]], [[0], [-1]]), batch_dims=1)
case("GatherND", SIGNED, i([[0, 1, 3]]))
case("NonZero", WHOLE)
case("OneHot", i([0, 3], [-1, 9]), np.int64(4), f(2))
case("OneHot", i([0, 3], [-1, 2]), np.int64(4), f(2), axis=0)
for reduction in ("none", "add", "mul", "max", "min"):
    case("ScatterND", SIGNED, i([1], [0]), f(2, 3, 4), reduction=reduction)
    case("ScatterElements", SIGNED, i([[0, -1, 1, 2]]), f(1, 1, 4), axis=1, reduction=reduction)
case("ScatterND", SIGNED, i([1, 2], [-1, 2]), f(2, 4), reduction="add")

case("MatMul", f(2, 1, 3, 4), f(5, 4, 2))
case("MatMul", f(4), f(4))
case("MatMul", WHOLE, RANDOM.integers(-3, 4, (4, 2)))
case("Gemm", f(3, 4), f(4, 2), f(2), alpha=0.5, beta=2.0)
case("Gemm", f(4, 3), f(2, 4), transA=1, transB=1)
case("Einsum", f(2, 3, 4), f(2, 5, 4), equation="bqd, bkd -> bqk")

case("BatchNormalization", f(2, 3, 5), f(3), f(3), f(3), np.abs(f(3)), epsilon=1e-3)
for axis in (-1, 1):
    tail = SIGNED.shape[axis:]
    case("LayerNormalization", SIGNED, f(*tail), f(*tail), axis=axis, epsilon=1e-2, outputs=3)
    case("RMSNormalization", SIGNED, f(*tail), axis=axis, epsilon=1e-2)
case("LayerNormalization", SIGNED, f(4))
Q, K, V = f(2, 3, 12), f(2, 5, 12), f(2, 5, 12)
heads = {"q_num_heads": 3, "kv_num_heads": 3}
case("Attention", Q, K, V, **heads)
case("Attention", Q, K, V, f(1, 3, 3, 5), scale=0.3, **heads)
case("Attention", Q, K, V, b(*[[True, False, True, True, False]] * 2, [False] * 5), **heads)
case("Attention", Q, K, V, f(3, 4), is_causal=1, **heads)
case("Attention", f(2, 4, 3, 6), f(2, 2, 5, 6), f(2, 2, 5, 3), softcap=2.0)

for group in (1, 2):
    for rank in (1, 2):
        kernel = (3, 2)[:rank]
        x, sizes = (
            f(2, 4, *(9, 7)[:rank]),
            {"group": group, "strides": (2, 1)[:rank], "dilations": (1, 3)[:rank]},
        )
        for attributes in ({"pads": (1, 2, 3, 0)[: 2 * rank]}, {"auto_pad": "VALID"}):
            case("Conv", x, f(6, 4 // group, *kernel), f(6), **sizes, **attributes)
        case("Conv", x, f(6, 4 // group, *kernel), group=group, kernel_shape=kernel)
        case("ConvTranspose", x, f(4, 3, *kernel), f(3 * group), pads=(1, 0, 0, 2)[: 2 * rank], **sizes)
        case("ConvTranspose", x, f(4, 3, *kernel), output_padding=(1, 0)[:rank], **sizes)
for auto_pad in ("SAME_UPPER", "SAME_LOWER"):
    case("Conv", f(1, 2, 9), f(3, 2, 4), strides=[2], auto_pad=auto_pad)

STEPS = RANDOM.integers(0, 256, (2, 3, 5)).astype(np.uint8)
WEIGHT = RANDOM.integers(-127, 128, (5, 4)).astype(np.int8)
for x in (f(2, 3, 5), np.abs(f(4)), -np.abs(f(3, 1)) * np.float32(1e-3), f(1, 1)):
    case("DynamicQuantizeLinear", x, outputs=3)
case("MatMulInteger", STEPS, WEIGHT)
case("MatMulInteger", STEPS, WEIGHT, np.uint8(131))
case("MatMulInteger", STEPS, WEIGHT, np.uint8(131), np.int8(-3))
