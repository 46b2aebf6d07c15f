"""Graphs in pieces: every value comes once, whatever the cuts, and what cannot be handed on is not cut."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from vampconv.opsets import OLDEST
from vampconv.verify.segments import Grouping, Segments


def body(name, value):
    """A branch that takes a value of the graph around it."""
    node = helper.make_node("Add", [value, value], [name])
    return helper.make_graph([node], name, [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)])


def model():
    node = helper.make_node
    nodes = [
        node("Neg", ["x"], ["a"]),
        node("SequenceConstruct", ["a", "x"], ["s"]),
        node("Abs", ["a"], ["b"]),
        node("SequenceAt", ["s", "zero"], ["c"]),
        node("Greater", ["b", "two"], ["which"]),
        node("ReduceMax", ["b"], ["most"], keepdims=0),
        node("Greater", ["most", "two"], ["large"]),
        node("If", ["large"], ["d"], then_branch=body("then", "a"), else_branch=body("else", "b")),
        node("Clip", ["d", "", "two"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "pieces",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.float32(2), "two"), numpy_helper.from_array(np.int64(0), "zero")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OLDEST)], ir_version=8)


WANTED = ["a", "b", "c", "which", "most", "large", "d", "y", "two"]


def run(model, feeds, names):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, feeds), strict=True))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 100])
@pytest.mark.parametrize("x", [[-3, 1, 0.5], [1, -1, 0]])
def test_every_value_comes_once_and_is_that_of_the_whole(count, x):
    feeds = {"x": np.float32(x)}
    tapped = model()
    tapped.graph.output.extend(helper.make_empty_tensor_value_info(n) for n in WANTED if n != "y")
    truth = run(tapped, feeds, WANTED)
    pieces, held, found, start = Segments(model(), set(WANTED), {"s"}), dict(feeds), {}, 0
    while start < len(pieces):
        stop = pieces.end(start, count)
        names = pieces.gives(start, stop)
        part = run(pieces.cut(start, stop, held), {n: held[n] for n in pieces.needs(start, stop)}, names)
        assert not found.keys() & part.keys()
        found |= {name: part[name] for name in names if name in WANTED}
        held = {name: x for name, x in (held | part).items() if pieces.is_taken(name, stop)}
        start = stop
    assert not held
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        np.testing.assert_array_equal(found[name], value, strict=True)


def test_a_sequence_is_not_handed_on():
    pieces = Segments(model(), set(WANTED), {"s"})
    assert [pieces.end(start, 1) for start in range(5)] == [1, 4, 4, 4, 5]
    assert all("s" not in pieces.gives(start, pieces.end(start, 1)) for start in (0, 1, 4))


def test_groups_are_in_order_and_within_the_limit():
    grouping = Grouping("abcdef", 8)
    groups = []
    for name, size in (("b", 1), ("a", 1), ("d", 5), ("c", 1), ("f", 1), ("e", 1)):
        grouping.put(name, np.zeros(size, np.float32))
        groups += grouping.full()
    groups.append(grouping.rest())
    assert [list(group) for group in groups] == [["a", "b"], ["c"], ["d"], ["e", "f"]]
    assert grouping.rest() == {}
