"""Every operator against ONNX's own evaluator in float64, and against ONNX Runtime in float32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto
from onnx.reference import ReferenceEvaluator

from vampconv.verify.evaluation import Evaluator, UnknownOperatorError, contrib
from vampconv.verify.evaluation.operators import OPERATORS

from .evaluate_cases import CASES, COVERED, NOT_RUN, RANDOM, REFUSED, ROUNDED, b, f, i, one_node

few = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def evaluate(model, feeds, dtype=torch.float64):
    names = [v.name for v in model.graph.output]
    known = {n: torch.from_numpy(np.array(x)) for n, x in feeds.items()}
    found = Evaluator(model, Path(), dtype).values(names, known)
    return [found[n].numpy() for n in names]


def by_definition(model, feeds):
    wide = {n: x.astype(np.float64) if x.dtype == np.float32 else x for n, x in feeds.items()}
    return [np.asarray(y) for y in ReferenceEvaluator(model).run(None, wide)]


def by_runtime(model, feeds):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    typed = onnx.shape_inference.infer_shapes(model)
    session = onnxruntime.InferenceSession(
        typed.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return session.run(None, feeds)


def agree(found, wanted, rtol, atol):
    for x, y in zip(found, wanted, strict=True):
        assert x.shape == y.shape
        assert x.dtype == y.dtype
        np.testing.assert_allclose(x, y, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("model", "feeds"), CASES)
def test_operator(model, feeds, request):
    name = request.node.callspec.id
    error = 1e-6 if name in ROUNDED else 1e-12
    if name not in REFUSED:
        agree(evaluate(model, feeds), by_definition(model, feeds), error, error)
    if name not in NOT_RUN:
        agree(evaluate(model, feeds, torch.float32), by_runtime(model, feeds), 1e-5, 1e-5)


def test_numbers_that_are_all_zero_stay_so():
    model, feeds = one_node("DynamicQuantizeLinear", [np.zeros((2, 3), np.float32)], {}, outputs=3)
    for found in (evaluate(model, feeds), by_runtime(model, feeds)):
        assert (found[0] == found[2]).all()
        assert np.isfinite(found[1])


FORM = {"K": 64, "N": 5, "bits": 4, "block_size": 32}
CONTRIB = [
    ("MatMulNBits", [f(2, 3, 64), RANDOM.integers(0, 256, (5, 2, 16)).astype(np.uint8), f(5, 2)], FORM),
    ("FastGelu", [f(2, 3, 4, scale=3)], {}),
    ("MultiHeadAttention", [f(2, 3, 8), f(2, 3, 8), f(2, 3, 8)], {"num_heads": 2}),
    ("MultiHeadAttention", [*(f(2, 3, 8) for _ in "qkv"), None, None, f(1, 4, 3, 3)], {"num_heads": 4}),
]
"""ONNX has no definition of these."""


@pytest.mark.parametrize(("op", "inputs", "attributes"), CONTRIB)
def test_operators_that_onnx_runtime_adds(op, inputs, attributes):
    model, feeds = one_node(op, inputs, attributes, domain="com.microsoft")
    agree(evaluate(model, feeds, torch.float32), by_runtime(model, feeds), 1e-5, 1e-5)
    assert {op for op, *_ in CONTRIB} == set(contrib.OPERATORS)


def test_every_operator_is_tested():
    assert set(OPERATORS) == COVERED


@few
@given(st.data())
def test_slices(data):
    x = np.arange(5 * 4).reshape(5, 4)
    axes = data.draw(st.sampled_from([(0,), (-1,), (1, 0)]))
    # 2⁶³ − 1 means the other end to ONNX Runtime where it goes backwards
    numbers = st.sampled_from([0, 1, 2, 3, 5, 9, -1, -2, -4, -9, 2**62, -(2**63)])
    starts, ends = (data.draw(st.tuples(*[numbers] * len(axes))) for _ in range(2))
    steps = data.draw(st.tuples(*[st.sampled_from([1, 2, 7, -1, -2, -7])] * len(axes)))
    model, feeds = one_node("Slice", [x, *(i(*v) for v in (starts, ends, axes, steps))], {})
    agree(evaluate(model, feeds), by_runtime(model, feeds), 0, 0)


@few
@given(st.sampled_from(["reflect", "edge", "wrap"]), st.lists(st.integers(0, 9), min_size=4, max_size=4))
def test_pads(mode, pads):
    model, feeds = one_node("Pad", [np.arange(12.0).reshape(3, 4), i(*pads)], {"mode": mode})
    agree(evaluate(model, feeds), by_definition(model, feeds), 0, 0)


def test_a_single_element_is_reflected():
    model, feeds = one_node("Pad", [f(1), i(2, 3)], {"mode": "reflect"})
    np.testing.assert_array_equal(evaluate(model, feeds)[0], np.repeat(feeds["x0"].astype(np.float64), 6))


@few
@given(st.data())
def test_convolutions(data):
    rank = data.draw(st.integers(1, 2))
    sizes = st.lists(st.integers(1, 3), min_size=rank, max_size=rank)
    group = data.draw(st.sampled_from([1, 2]))
    attributes = {name: data.draw(sizes) for name in ("strides", "dilations")}
    attributes |= {"pads": data.draw(sizes) + data.draw(sizes), "group": group}
    x, kernel = f(2, 2, *[9] * rank), data.draw(sizes)
    for op, weight in (("Conv", f(4, 2 // group, *kernel)), ("ConvTranspose", f(2, 4 // group, *kernel))):
        model, feeds = one_node(op, [x, weight, f(4)], attributes)
        ran = by_runtime(model, feeds)
        agree(evaluate(model, feeds, torch.float32), ran, 1e-5, 1e-5)
        np.testing.assert_allclose(evaluate(model, feeds)[0], ran[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "error"),
    [
        ("Gather", [f(3, 2), i(3)], {}, IndexError),
        ("Gather", [f(3, 2), i(-4)], {}, IndexError),
        ("GatherElements", [f(3, 2), i([2, 0])], {"axis": 1}, IndexError),
        ("GatherND", [f(3, 2), i([0, 2])], {}, IndexError),
        ("ScatterND", [f(3, 2), i([-4]), f(1, 2)], {}, IndexError),
        ("Mod", [f(3), f(3)], {}, ValueError),
        ("Squeeze", [f(3, 2), i(0)], {}, ValueError),
        ("TopK", [f(3), i(4)], {}, ValueError),
        ("Reshape", [f(3), i(2, 2)], {}, RuntimeError),
        ("Add", [f(3), f(2)], {}, RuntimeError),
        ("Cast", [f(3)], {"to": TensorProto.STRING}, ValueError),
        ("BatchNormalization", [f(1, 2, 3), f(2), f(2), f(2), f(2)], {"training_mode": 1}, ValueError),
        ("Conv", [f(1, 2, 3), f(2, 2, 3)], {"auto_pad": "SAME"}, ValueError),
        ("Conv", [f(1, 2, 3), f(2, 2, 3)], {"kernel_shape": [2]}, ValueError),
    ],
)
def test_what_fails_says_where(op, inputs, attributes, error):
    model, feeds = one_node(op, inputs, attributes, outputs=2 if op == "TopK" else 1)
    with pytest.raises(error) as caught:
        evaluate(model, feeds)
    assert caught.value.__notes__ == [f"in {op} the node"]


@pytest.mark.parametrize(
    ("op", "inputs", "attributes", "outputs", "domain"),
    [
        ("Erfc", [f(3)], {}, 1, ""),
        ("Gelu", [f(3)], {}, 1, "com.microsoft"),
        ("NoSuchOp", [f(3)], {}, 1, "vamp"),
        ("ConvTranspose", [f(1, 2, 3), f(2, 2, 3)], {"output_shape": [9]}, 1, ""),
        ("Add", [f(3), f(3)], {"axis": 0}, 1, ""),
        ("Where", [b(True), None, f(3)], {"working": 1}, 1, ""),
        ("Constant", [], {"working": 1, "value_int": 1}, 1, ""),
        ("Attention", [f(1, 1, 2, 2)] * 4 + [f(1, 1, 2, 2)] * 2, {}, 1, ""),
        ("Attention", [f(1, 1, 2, 2)] * 3, {}, 2, ""),
        ("Add", [f(3), None], {}, 1, ""),
    ],
)
def test_what_is_not_known_is_refused(op, inputs, attributes, outputs, domain):
    model, feeds = one_node(op, inputs, attributes, outputs=outputs, domain=domain)
    with pytest.raises(UnknownOperatorError, match=f"node the node is .*{op}") as caught:
        evaluate(model, feeds)
    assert (caught.value.domain, caught.value.op_type, caught.value.name) == (domain, op, "the node")
