"""The floor is the products of a model, all of them and nothing else."""

from __future__ import annotations

from collections import Counter

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, parser

from vampconv.bench.floor import Floor, fill
from vampconv.bench.inputs import inputs
from vampconv.bench.products import attention_shapes, constants, operands, products
from vampconv.runtime.bundle import Bundle

FRAMES = 20


def floor_of(path, feeds):
    """The floor, its graph, the shapes and samples that it is of, and what is fed."""
    floor = Floor(path, 1)
    shapes, samples = floor._record(feeds)
    graph, ports = floor.isolate(shapes, samples)
    return floor, graph, shapes, ports


def feeds_of(bundle, part, frames=FRAMES):
    return inputs(part, Bundle(bundle).architecture(part), frames)


@pytest.mark.parametrize("part", ["coarse", "c2f", "encoder", "decoder"])
def test_a_floor_has_the_products_of_its_model(workshop, part):
    bundle = workshop.whole("coarse", "c2f", "codec")
    path = bundle / f"{part}.onnx"
    model = onnx.load(path)
    kinds = {"MatMul", "Gemm", "Conv", "ConvTranspose"}
    wanted = [node for node in model.graph.node if node.op_type in kinds]
    floor, graph, shapes, _ = floor_of(path, feeds_of(bundle, part))
    kept = [node for node in graph.graph.node if node.op_type in kinds]
    assert [n.op_type for n in kept] == [n.op_type for n in wanted]
    assert len(wanted) > 5
    assert {n.op_type for n in graph.graph.node} <= kinds | {"Reshape", "Slice", "Transpose", "Mul", "Cast"}
    weights = {i.name for i in model.graph.initializer}
    assert [[n for n in node.input if n in weights] for node in kept] == [
        [n for n in node.input if n in weights] for node in wanted
    ]
    session, fed = floor.prepare(feeds_of(bundle, part))
    firsts = session.run(None, fed)
    assert len(firsts) == len(wanted)
    assert all(first.shape == (1,) and np.isfinite(first).all() for first in firsts)
    assert shapes


def test_shapes_are_those_of_the_length(workshop):
    """The attention's weights are [batch, heads, time, time]; another length makes another floor."""
    path = workshop.bundle("coarse", "codec") / "coarse.onnx"
    for frames in (1, 13):
        _, graph, shapes, ports = floor_of(path, feeds_of(path.parent, "coarse", frames))
        assert any(shape[-2:] == (frames, frames) and len(shape) == 4 for shape in shapes.values())
        assert [p.name for p in graph.graph.input] == list(ports)
    floor = Floor(path, 1)
    first = floor.prepare(feeds_of(path.parent, "coarse", 13))
    assert floor.prepare(feeds_of(path.parent, "coarse", 13))[0] is first[0]
    assert floor.prepare(feeds_of(path.parent, "coarse", 14))[0] is not first[0]


QUANTISED = """
< ir_version: 8, opset_import: ["" : 17] >
quantised (float[batch, time, 4] x) => (float[batch, time, 3] y)
<int8[4, 3] weight, int8 zero, float[4, 4] plain, float scale>
{
    other = Transpose(plain)
    first = MatMul (x, other)
    q, q_scale, q_zero = DynamicQuantizeLinear (first)
    whole = MatMulInteger (q, weight, q_zero, zero)
    cast = Cast <to = 1> (whole)
    y = Mul (cast, q_scale)
}
"""


def test_integer_products_and_computed_constants(tmp_path):
    """Their inputs keep their types; what is computed from weights alone is still so, and so is packed in advance."""
    model = parser.parse_model(QUANTISED)
    random = np.random.default_rng(0)
    values = {
        "weight": random.integers(-9, 9, (4, 3)).astype(np.int8),
        "zero": np.array(0, np.int8),
        "plain": random.standard_normal((4, 4)).astype(np.float32),
        "scale": np.array(1, np.float32),
    }
    del model.graph.initializer[:]
    model.graph.initializer.extend(onnx.numpy_helper.from_array(v, n) for n, v in values.items())
    onnx.save(model, tmp_path / "m.onnx")
    known = constants(model.graph)
    assert {"weight", "other"} <= known.keys()
    assert "first" not in known
    floor, graph, _, ports = floor_of(
        tmp_path / "m.onnx", {"x": random.standard_normal((2, 5, 4)).astype("f")}
    )
    kinds = Counter(node.op_type for node in graph.graph.node)
    assert kinds == {"Transpose": 1, "MatMul": 1, "MatMulInteger": 1, "Reshape": 2, "Slice": 2}
    assert [(shape, np.asarray(x).dtype.name) for shape, x in ports.values()] == [
        ((2, 5, 4), "float32"),
        ((2, 5, 4), "uint8"),
        ((), "uint8"),
    ]
    session, fed = floor.prepare({"x": np.zeros((2, 5, 4), np.float32)})
    assert {name: x.dtype.name for name, x in fed.items()} == {"x0": "float32", "x1": "uint8", "x2": "uint8"}
    assert len(session.run(None, fed)) == 2


def test_one_array_for_all_of_a_shape():
    """So that inputs of their own for every product take no memory."""
    sample = np.zeros(1, np.float32)
    made = fill({"a": ((2, 3), sample), "b": ((2, 3), sample), "c": ((3,), sample)})
    assert made["a"] is made["b"]
    assert made["c"].shape == (3,)


@pytest.mark.parametrize("domain", ["", "com.microsoft"])
def test_an_attention_counts_as_its_two_products(tmp_path, domain):
    """As many multiplications as the op does, and as the op's own shapes say."""
    batch, heads, time, dim = 2, 3, 7, 4
    names = ("q", "k", "v")
    if domain:
        node = helper.make_node("MultiHeadAttention", names, ["y"], domain=domain, num_heads=heads)
    else:
        node = helper.make_node("Attention", names, ["y"], q_num_heads=heads, kv_num_heads=heads)
    ports = [helper.make_tensor_value_info(n, 1, [batch, time, heads * dim]) for n in (*names, "y")]
    graph = helper.make_graph([node], "attention", ports[:3], ports[3:])
    opsets = [helper.make_opsetid("", 23), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=11), tmp_path / "m.onnx")
    feeds = {n: np.zeros((batch, time, heads * dim), np.float32) for n in names}
    floor, made, shapes, inputs_ = floor_of(tmp_path / "m.onnx", feeds)
    assert operands(products(graph)[0]) == list(names)
    assert attention_shapes(node, shapes) == [
        ((batch, heads, time, dim), (batch, heads, dim, time)),
        ((batch, heads, time, time), (batch, heads, time, dim)),
    ]
    assert [n.op_type for n in made.graph.node] == ["MatMul", "Reshape", "Slice"] * 2
    assert len(inputs_) == 4
    session, fed = floor.prepare(feeds)
    assert len(session.run(None, fed)) == 2
    assert isinstance(session, onnxruntime.InferenceSession)
