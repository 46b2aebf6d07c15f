"""Random graphs, the whole rule set: it ends, twice is once, nothing dangles, and the values stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vampconv.dialect.builder import FUSED, VALUE
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.plugins import builtin_rules, select_rules
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import apply_rules
from vampconv.rewrite.execute import interpret, load
from vampconv.rewrite.target import ORT
from vampconv.rewrite.trace import module_of, rules_of

from .growing import HEADS, STEPS, Growing, grown, shuffled
from .toy import dangling, types

RULES = select_rules(builtin_rules())
NOT_REACHED = {"ClassicTanhGELU", "StandardTanhGELU", "OrtTanhGELU", "QuantizeProductTo4Bits"}
CHECKED = settings(deadline=None, max_examples=60, derandomize=True, print_blob=True)
PLANS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(0, 9)), max_size=9)
SEEDS = st.integers(0, 2**16)
OPSETS = st.sampled_from([17, 20, 23])
RANDOM = st.randoms(use_true_random=False)


def compiled(model, opset, rules=RULES):
    """The model after the whole pipeline."""
    compile_graph(model, Options(opset, rules=rules))
    return model


def used(model, feeds):
    return {v.name: feeds[v.name] for v in model.graph.inputs}


def as_bytes(model):
    return ir.to_proto(model).SerializeToString(deterministic=True)


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_a_compiled_graph_is_whole_legal_and_means_the_same(plan, seed, opset):
    model, feeds = grown(plan, seed, opset)
    wide = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in feeds.items()}
    weights = {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}
    wide |= {n: v.astype(np.float64) for n, v in weights.items() if v.dtype.kind == "f"}
    (truth,) = interpret(model, wide)
    compiled(model, opset)
    assert dangling(model) == []
    assert {n.domain for n in model.graph} <= {""}
    assert all(v.uses() or v.is_graph_output() for v in model.graph.initializers.values())
    onnx.checker.check_model(ir.to_proto(model), full_check=True)
    (result,) = load(model)(used(model, feeds))
    assert result.shape == truth.shape
    assert np.isfinite(truth).all()
    assert np.linalg.norm(result - truth) <= 1e-4 * np.linalg.norm(truth) + 1e-6


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_nothing_dangles_between_the_stages(plan, seed, opset):
    model, _ = grown(plan, seed, opset)
    for stage in Stage:
        rules = Options(opset, rules=RULES).rules_of(stage)
        apply_rules(model, rules, opset=opset)
        assert dangling(model) == []
        assert {n.domain for n in model.graph} <= stage.domains
        once = as_bytes(model)
        assert apply_rules(model, rules, opset=opset).firings == []
        assert as_bytes(model) == once


@CHECKED
@given(PLANS, SEEDS, OPSETS)
@example([("transpose", 0, 0)], 0, 17)  # one rule's convolution is another rule's
def test_compiling_twice_is_compiling_once(plan, seed, opset):
    model, _ = grown(plan, seed, opset)
    once = as_bytes(compiled(model, opset))
    assert compile_graph(model, Options(opset, rules=RULES)).firings == []
    assert as_bytes(model) == once
    assert as_bytes(compiled(grown(plan, seed, opset)[0], opset)) == once


@CHECKED
@given(PLANS, SEEDS, OPSETS, RANDOM)
def test_the_order_of_independent_nodes_does_not_matter(plan, seed, opset, random):
    model, feeds = grown(plan, seed, opset)
    other = shuffled(grown(plan, seed, opset)[0], random)
    models = [compiled(m, opset) for m in (model, other)]
    assert sorted(types(models[0])) == sorted(types(models[1]))
    (one,), (two,) = (load(m)(used(m, feeds)) for m in models)
    np.testing.assert_array_equal(one, two)


@CHECKED
@given(PLANS, SEEDS, RANDOM)
def test_rules_whose_patterns_do_not_compete_may_come_in_any_order(plan, seed, random):
    compete = ("StandardRMSNorm", "StandardAttention", "FoldSnakeOutputScale")
    first = [r for r in RULES if r.__name__ not in compete]
    second = random.sample(first, len(first))
    models = []
    for rules in (first, second):
        model, feeds = grown(plan, seed, 17)
        models.append(compiled(model, 17, rules))
    assert sorted(types(models[0])) == sorted(types(models[1]))
    (one,), (other,) = (load(m)(used(m, feeds)) for m in models)
    np.testing.assert_array_equal(one, other)


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_metadata_and_names_survive(plan, seed, opset):
    model, _ = grown(plan, seed, opset)
    modules = {module_of(n) for n in model.graph}
    marks = {n.metadata_props[VALUE] for n in needed(model) if VALUE in n.metadata_props}
    ports = [[v.name for v in side] for side in (model.graph.inputs, model.graph.outputs)]
    compiled(model, opset)
    assert [[v.name for v in side] for side in (model.graph.inputs, model.graph.outputs)] == ports
    names = [n.name for n in model.graph]
    values = [v.name for n in model.graph for v in n.outputs] + list(model.graph.initializers) + ports[0]
    assert all(names)
    assert all(values)
    assert len(set(names)) == len(names)
    assert len(set(values)) == len(values)
    known = {r.__name__ for r in RULES}
    kept = set()
    for node in model.graph:
        assert module_of(node) in modules
        assert set(rules_of(node)) <= known
        assert rules_of(node) or module_of(node) in ("begin", "residual", "conv", "codes", "end")
        kept |= set(node.metadata_props.get(VALUE, "").split())
        kept |= {word.partition("=")[0] for word in node.metadata_props.get(FUSED, "").split()}
    assert marks <= kept


def needed(model):
    """The nodes that the outputs hang on."""
    found, todo = set(), [v.producer() for v in model.graph.outputs]
    while todo:
        node = todo.pop()
        if node is not None and node not in found:
            found.add(node)
            todo += [v.producer() for v in node.inputs if v is not None]
    return found


@pytest.mark.parametrize("step", ["gate", "attend"])
def test_an_op_whose_width_is_unknown_is_declined(step):
    growing = Growing(1)
    growing.values[0].shape = None
    x, op = growing.values[0], growing.graph.vamp("here")
    value = op.GatedGELU(x) if step == "gate" else op.Attention(x, x, x, heads=HEADS)
    model = growing.graph.model(value)
    log = apply_rules(model, RULES, opset=17)
    assert log.firings == []
    assert {r for reasons in log.refusals.values() for r in reasons.values()} >= {
        f"the width of {'x' if step == 'gate' else 'q'} is unknown"
    }


def test_every_rule_is_reached_by_these_graphs():
    plan = [(step, i, i + 1) for i, step in enumerate((*STEPS, "attend"))]
    feed_forward = [("gate", 0, 0), ("linear", 1, 0), ("linear", 2, 0)]
    fired = set()
    for steps, options in (
        (plan, Options(17)),
        (plan, Options(23)),
        (plan, Options(target="ort", domains=ORT.domains)),
        (feed_forward, Options(precision="int8")),
        (plan, Options(precision="fp16")),
    ):
        model, _ = grown(steps, 1, options.opset)
        fired |= set(compile_graph(model, replace(options, rules=RULES)).counts())
    raising = {r.__name__ for r in RULES if r.stage is Stage.RAISE}
    assert fired == {r.__name__ for r in RULES} - raising - NOT_REACHED
