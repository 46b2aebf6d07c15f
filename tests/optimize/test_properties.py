"""Random graphs as others might have exported them: raised and lowered, they are whole, and mean the same."""

from __future__ import annotations

import numpy as np
import onnx
import onnx_ir as ir
from hypothesis import given, settings
from hypothesis import strategies as st

from vampconv.passes.pipeline import Options, compile_graph
from vampconv.passes.raising import optimize_graph
from vampconv.plugins import builtin_rules, select_rules
from vampconv.rewrite import Stage
from vampconv.rewrite.execute import load

from ..rewrite.growing import STEPS, grown, shuffled
from ..rewrite.toy import dangling, types

RULES = select_rules(builtin_rules())
CHECKED = settings(deadline=None, max_examples=25, derandomize=True, print_blob=True)
PLANS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(0, 9)), max_size=7)
SEEDS = st.integers(0, 2**16)
OPSETS = st.sampled_from([17, 20, 23])


def exported(plan, seed, opset):
    """A random model in plain ONNX without any note of ours, and inputs for it."""
    model, feeds = grown(plan, seed, opset)
    compile_graph(model, Options(opset, rules=RULES))
    for node in model.graph:
        node.metadata_props.clear()
    return ir.from_proto(ir.to_proto(model)), {v.name: feeds[v.name] for v in model.graph.inputs}


def optimized(model, opset):
    log = optimize_graph(model, Options(opset, rules=RULES))
    return model, log.counts()


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_an_optimised_graph_is_whole_and_means_the_same(plan, seed, opset):
    model, feeds = exported(plan, seed, opset)
    ports = [[(v.name, v.dtype) for v in side] for side in (model.graph.inputs, model.graph.outputs)]
    (wanted,) = load(model)(feeds)
    _, fired = optimized(model, opset)
    assert dangling(model) == []
    assert {n.domain for n in model.graph} <= {""}
    assert [[(v.name, v.dtype) for v in side] for side in (model.graph.inputs, model.graph.outputs)] == ports
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    values = [v.name for n in model.graph for v in n.outputs] + list(model.graph.initializers)
    assert len(set(values)) == len(values)
    (result,) = load(model)(feeds)
    if fired:
        assert result.shape == wanted.shape
        assert np.linalg.norm(result - wanted) <= 1e-4 * np.linalg.norm(wanted) + 1e-6
    else:
        np.testing.assert_array_equal(result, wanted)


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_twice_is_once(plan, seed, opset):
    once, _ = optimized(exported(plan, seed, opset)[0], opset)
    first = types(once)
    again = ir.from_proto(ir.to_proto(once))
    assert types(optimized(again, opset)[0]) == first


@CHECKED
@given(PLANS, SEEDS, OPSETS, st.randoms(use_true_random=False))
def test_the_order_of_independent_nodes_does_not_matter(plan, seed, opset, random):
    model, feeds = exported(plan, seed, opset)
    other = shuffled(exported(plan, seed, opset)[0], random)
    (one, fired), (two, fired_too) = (optimized(m, opset) for m in (model, other))
    assert fired == fired_too
    assert sorted(types(one)) == sorted(types(two))
    np.testing.assert_array_equal(load(one)(feeds)[0], load(two)(feeds)[0])


@CHECKED
@given(PLANS, SEEDS)
def test_what_a_node_is_called_and_told_of_survives(plan, seed):
    model, _ = exported(plan, seed, 17)
    for index, node in enumerate(model.graph):
        node.name, node.metadata_props["theirs"] = f"theirs {index}", str(index)
    known = {n.name: n.op_type for n in model.graph}
    rules = [r for r in RULES if r.stage not in (Stage.RAISE, Stage.TARGET)]
    optimize_graph(model, Options(17, rules=rules))
    for node in model.graph:
        assert known[node.name] == node.op_type
        assert node.metadata_props["theirs"] == node.name.removeprefix("theirs ")
