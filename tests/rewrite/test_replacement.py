"""What a replacement inherits at the edges of a graph, and rules that break their contract."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from vampconv_rules.relative_bias import ShareRelativePositionBias

from vampconv.errors import LimitError, PluginError
from vampconv.rewrite.engine import apply_rules, compiled
from vampconv.rewrite.execute import interpret, load
from vampconv.rewrite.trace import module_of, rules_of

from .toy import OPSET, DropFiLM, Graph, dangling, rule, types

X = np.linspace(-2, 3, 24, dtype=np.float32).reshape(2, 3, 4)


def outputs(model):
    return [v.name for v in model.graph.outputs]


def applied(model, *rules):
    apply_rules(model, rules, opset=OPSET)
    assert dangling(model) == []
    return model


def test_graph_outputs_keep_their_names_types_and_shapes():
    graph = Graph()
    value = graph.vamp("film").FiLM(graph.at("a").Relu(graph.input("x")))
    model = applied(graph.model(value), DropFiLM)
    assert outputs(model) == ["output0"]
    (output,) = model.graph.outputs
    assert (output.dtype, tuple(output.shape)) == (ir.DataType.FLOAT, (2, 3, 4))
    assert types(model) == ["Relu"]
    np.testing.assert_array_equal(load(model)({"x": X})[0], np.maximum(X, 0))


def test_an_input_that_becomes_an_output_passes_through_an_identity():
    graph = Graph()
    model = applied(graph.model(graph.vamp("layers.3.film").FiLM(graph.input("x"))), DropFiLM)
    assert outputs(model) == ["output0"]
    assert [v.name for v in model.graph.inputs] == ["x"]
    (identity,) = model.graph
    assert (identity.op_type, module_of(identity), rules_of(identity)) == (
        "Identity",
        "layers.3.film",
        ("DropFiLM",),
    )
    np.testing.assert_array_equal(load(model)({"x": X})[0], X)


def test_a_weight_that_becomes_an_output_passes_through_an_identity():
    graph = Graph()
    model = graph.model(graph.vamp("film").FiLM(graph.weight("w", X)))
    model = applied(model, DropFiLM)
    assert outputs(model) == ["output0"]
    assert list(model.graph.initializers) == ["w"]
    np.testing.assert_array_equal(load(model)({})[0], X)


def test_a_value_that_is_an_output_already_is_not_renamed():
    graph = Graph()
    value = graph.at("a").Relu(graph.input("x"))
    model = applied(graph.model(value, graph.vamp("film").FiLM(value)), DropFiLM)
    assert outputs(model) == ["output0", "output1"]
    for result in load(model)({"x": X}):
        np.testing.assert_array_equal(result, np.maximum(X, 0))


def test_two_outputs_that_become_one_value_keep_both_names():
    graph = Graph()
    length, table = graph.input("length", (1,), np.int64), graph.weight("t", np.arange(64).reshape(32, 2))
    both = [graph.vamp("attn").RelativePositionBias(length, table, max_distance=128) for _ in range(2)]
    model = applied(graph.model(*both), ShareRelativePositionBias)
    assert outputs(model) == ["output0", "output1"]
    first, second = interpret(model, {"length": np.array([4])})
    np.testing.assert_array_equal(first, second)


def test_replaced_nodes_pass_their_module_and_rules_on():
    split = rule("Split", lambda op, x: op.Softplus(x), lambda op, x: op.Mul(op.Relu(x), op.Relu(x)))
    graph = Graph()
    model = graph.model(graph.at("layers.0.ffn").Softplus(graph.vamp("in").FiLM(graph.input("x"))))
    renamed = rule("Renamed", lambda op, x: op.Mul(op.Relu(x), op.Relu(x)), lambda op, x: op.Abs(x))
    applied(model, split, DropFiLM)
    assert {(module_of(n), rules_of(n)) for n in model.graph} == {("layers.0.ffn", ("Split",))}
    applied(model, renamed)
    assert {(module_of(n), rules_of(n)) for n in model.graph} == {("layers.0.ffn", ("Split", "Renamed"))}


RAISED = [ValueError("no"), KeyError("no"), ZeroDivisionError("no"), AssertionError("no"), RuntimeError("no")]


@pytest.mark.parametrize("error", RAISED, ids=lambda e: type(e).__name__)
def test_a_rule_that_raises_is_named_with_the_module(error):
    def after(op, x):  # noqa: ARG001
        raise error

    broken = rule("Broken", lambda op, x: op.Relu(x), after)
    graph = Graph()
    model = graph.model(graph.at("layers.7.ffn").Relu(graph.input("x")))
    told = rf"rule Broken at Relu /layers/7/ffn/Relu .*: its `after` raised {type(error).__name__}"
    with pytest.raises(PluginError, match=told) as raised:
        apply_rules(model, [broken], opset=OPSET)
    assert raised.value.__cause__ is error
    assert types(model) == ["Relu"]


def test_an_error_of_ours_is_passed_on_as_it_is():
    def after(op, x):  # noqa: ARG001
        raise LimitError("too many", "have fewer")

    graph = Graph()
    model = graph.model(graph.at("a").Relu(graph.input("x")))
    with pytest.raises(LimitError, match="too many"):
        apply_rules(model, [rule("Limited", lambda op, x: op.Relu(x), after)], opset=OPSET)


@pytest.mark.parametrize(
    "before",
    [
        lambda op, x: 1 / 0,  # noqa: ARG005
        lambda op, x: None,  # noqa: ARG005
        lambda op, x: op.Relu(x, missing),  # noqa: F821
        lambda op, x: x,  # noqa: ARG005
        lambda op: (),  # noqa: ARG005
    ],
)
def test_a_pattern_that_cannot_be_built_is_named(before):
    with pytest.raises(PluginError, match=r"rule Broken \(in .*toy\): its pattern cannot be built"):
        compiled(rule("Broken", before, lambda op, x: op.Abs(x)))


def test_guards_that_raise_are_named():
    broken = rule(
        "Broken",
        lambda op, x: op.Relu(x),
        lambda op, x: op.Abs(x),
        require=lambda m: [(m["eps"] > 0, "no eps")],
    )
    graph = Graph()
    with pytest.raises(
        PluginError, match=r"rule Broken at Relu /a/Relu \(module a\): its `require` raised KeyError: 'eps'"
    ):
        apply_rules(graph.model(graph.at("a").Relu(graph.input("x"))), [broken], opset=OPSET)


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda op, x: (op.Abs(x), op.Abs(x)), "/a/Relu .* returned 2 values, for a pattern of 1"),
        (lambda op, x: (), "returned 0 values"),  # noqa: ARG005
        (lambda op, x: None, "returned 1 values"),  # noqa: ARG005
        (lambda op, x: 1.0, "returned 1 values"),  # noqa: ARG005
    ],
)
def test_a_wrong_number_of_results_is_told(after, message):
    graph = Graph()
    model = graph.model(graph.at("a").Relu(graph.input("x")))
    with pytest.raises(PluginError, match=message):
        apply_rules(model, [rule("Broken", lambda op, x: op.Relu(x), after)], opset=OPSET)


def test_an_argument_that_the_pattern_does_not_bind_is_told():
    broken = rule("Broken", lambda op, x: op.Relu(x), lambda op, x, eps: op.Add(x, eps))
    graph = Graph()
    with pytest.raises(
        PluginError, match=r"rule Broken at Relu /a/Relu \(module a\): its `after` raised TypeError.*eps"
    ):
        apply_rules(graph.model(graph.at("a").Relu(graph.input("x"))), [broken], opset=OPSET)


def test_drops_of_a_parameter_that_the_pattern_does_not_have_are_told():
    broken = rule("Broken", lambda op, x: op.Relu(x), lambda op, x: op.Abs(x), drops={"bias": "zero"})
    graph = Graph()
    with pytest.raises(PluginError, match=r"Broken.*bias"):
        apply_rules(graph.model(graph.at("a").Relu(graph.input("x"))), [broken], opset=OPSET)
