"""Rules look inside bodies, and never across their borders."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from ..common import graphs
from . import bodies
from .running import optimized, random_feeds, same_numbers


def types(graph):
    return [node.op_type for node in graph.node]


@pytest.mark.parametrize("name", bodies.RAISED)
@pytest.mark.parametrize("sign", [1, -1])
def test_a_norm_in_a_body_is_raised(tmp_path, name, sign):
    make, times = bodies.RAISED[name]
    proto = make()
    found, _ = optimized(proto, tmp_path)
    assert found.rules.get("RaiseRMSNorm", 0) == times
    feeds = {n: sign * np.abs(x) for n, x in random_feeds(proto).items()}
    same_numbers(tmp_path, feeds, exactly=not times)


@pytest.mark.parametrize("name", bodies.RAISED)
def test_once_is_enough(tmp_path, name):
    _, once = optimized(bodies.RAISED[name][0](), tmp_path)
    found, twice = optimized(once, tmp_path)
    assert [types(g) for g in graphs(twice.graph)] == [types(g) for g in graphs(once.graph)]
    assert found.before.nodes == found.after.nodes


@pytest.mark.parametrize("name", bodies.RAISED)
def test_no_name_hides_another(tmp_path, name):
    _, result = optimized(bodies.RAISED[name][0](), tmp_path)

    def check(graph, around):
        made = [v.name for v in (*graph.input, *graph.initializer)] + [
            o for n in graph.node for o in n.output
        ]
        assert len(set(made)) == len(made)
        assert not around & set(made)
        for node in graph.node:
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    check(attribute.g, around | set(made))

    check(result.graph, set())


def test_one_operation_normalises_in_a_body(tmp_path):
    found, result = optimized(bodies.norm_in_loop(), tmp_path, opset=23)
    (node,) = [n for n in result.graph.node if n.op_type == "Loop"]
    assert types(node.attribute[0].g) == ["RMSNormalization", "Identity"]
    assert found.before.nodes > found.after.nodes == 3
    same_numbers(tmp_path, random_feeds(bodies.norm_in_loop()))


def test_what_only_an_unused_loop_needs_goes(tmp_path):
    _, result = optimized(bodies.unused(), tmp_path)
    assert types(result.graph) == ["Neg"]
    assert list(result.graph.initializer) == []


def test_names_that_files_give_to_sizes_count_for_nothing_in_a_body(tmp_path):
    proto = bodies.growing()
    _, result = optimized(proto, tmp_path)
    body = next(n for n in result.graph.node if n.op_type == "Loop").attribute[0].g
    assert "Concat" in types(body)
    (y,) = same_numbers(tmp_path, {"x": np.ones((3, 2), np.float32)}, exactly=True)
    assert y.shape == (24, 2)


def test_an_op_that_nothing_lowers_is_not_raised_in_a_body(tmp_path):
    proto = bodies.norm_in_loop()
    found, result = optimized(proto, tmp_path, disable=("ClassicRMSNorm",))
    assert found.rules == {}
    assert found.notes == ["RaiseRMSNorm withheld: no enabled rule lowers vamp.RMSNorm"]
    assert {n.domain for g in graphs(result.graph) for n in g.node} == {""}
    assert not onnx.checker.check_model(result)
