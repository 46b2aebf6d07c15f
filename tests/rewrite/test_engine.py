"""The engine: fixpoint and budget, what a replacement takes over, and rules that break their contract."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from vampconv_rules.relative_bias import ShareRelativePositionBias

from vampconv.dialect import vamp
from vampconv.errors import PluginError
from vampconv.rewrite.engine import Log, apply_rules
from vampconv.rewrite.execute import interpret
from vampconv.rewrite.replacement import constants_under
from vampconv.rewrite.trace import module_of, rules_of

from .toy import OPSET, DoubleTwice, DropFiLM, Graph, dangling, rule, types


def apply(model, *rules, **options):
    log = apply_rules(model, rules, opset=OPSET, **options)
    assert dangling(model) == []
    return log


def chain(length):
    graph = Graph()
    value = graph.input("x")
    for layer in range(length):
        value = graph.vamp(f"layers.{layer}.film").FiLM(value)
    return graph.model(graph.at("end").Relu(value))


def test_rules_are_applied_until_none_fires():
    model = chain(30)
    assert apply(model, DropFiLM).counts() == {"DropFiLM": 30}
    assert types(model) == ["Relu"]
    assert apply(model, DropFiLM).firings == []


def test_what_a_replacement_brings_is_rewritten_too():
    steps = [
        rule("ReluToAbs", lambda op, x: op.Relu(x), lambda op, x: op.Abs(x)),
        rule("AbsToNeg", lambda op, x: op.Abs(x), lambda op, x: op.Neg(x)),
        rule("NegToExp", lambda op, x: op.Neg(x), lambda op, x: op.Exp(x)),
    ]
    for order in (steps, steps[::-1]):
        model = chain(0)
        log = apply(model, *order)
        assert types(model) == ["Exp"]
        assert [f.rule for f in log.firings] == ["ReluToAbs", "AbsToNeg", "NegToExp"]
        assert rules_of(next(iter(model.graph))) == ("ReluToAbs", "AbsToNeg", "NegToExp")
        assert module_of(next(iter(model.graph))) == "end"


def test_the_budget_names_the_rule_that_never_ends():
    endless = rule("Endless", lambda op, x: op.Relu(x), lambda op, x: op.Relu(op.Identity(x)))
    with pytest.raises(PluginError, match="rule Endless fires without end") as raised:
        apply_rules(chain(40), [DropFiLM, endless], opset=OPSET)
    assert raised.value.code == 7


def test_two_rules_that_undo_each_other_run_out_of_budget():
    there = rule("There", lambda op, x: op.Relu(x), lambda op, x: op.Abs(x))
    back = rule("Back", lambda op, x: op.Abs(x), lambda op, x: op.Relu(x))
    with pytest.raises(PluginError, match=r"rules (Back and There|There and Back) fire by turns without end"):
        apply_rules(chain(0), [there, back], opset=OPSET)


def test_a_log_shared_by_stages_does_not_use_up_the_budget():
    log = Log()
    for _ in range(12):
        apply(chain(40), DropFiLM, log=log)
    apply(chain(0), DropFiLM, log=log)
    apply(chain(1), DropFiLM, log=log)
    assert log.counts() == {"DropFiLM": 481}


def test_the_first_rule_wins_and_guards_hold_it_back():
    first = rule("First", lambda op, x: op.Relu(x), lambda op, x: op.Abs(x))
    second = rule("Second", lambda op, x: op.Relu(x), lambda op, x: op.Neg(x))
    guarded = rule("Guarded", first.before, first.after, require=lambda m: [(m.opset > 99, "too old")])
    model = chain(0)
    assert apply(model, first, second).counts() == {"First": 1}
    model = chain(0)
    (node,) = model.graph
    log = apply(model, guarded)
    assert log.firings == []
    assert log.refusals == {node: {"Guarded": "too old"}}
    assert apply(model, guarded, second).counts() == {"Second": 1}


def biases(graph, *tables, distance=128):
    length = graph.input("length", (1,), np.int64)
    return [
        graph.vamp(f"layers.{i}.attn").RelativePositionBias(length, t, max_distance=distance)
        for i, t in enumerate(tables)
    ]


def test_roots_of_a_pattern_are_distinct_nodes():
    graph = Graph()
    table = graph.weight("table", np.zeros((32, 2)))
    model = graph.model(*biases(graph, table))
    assert apply(model, ShareRelativePositionBias).firings == []


@pytest.mark.parametrize("count", [2, 3, 7])
def test_any_number_of_equal_roots_becomes_one(count):
    graph = Graph()
    table = graph.weight("table", np.random.default_rng(1).standard_normal((32, 2)))
    model = graph.model(*(graph.at("use").Relu(b) for b in biases(graph, *[table] * count)))
    truth = interpret(model, {"length": np.array([5])})
    assert apply(model, ShareRelativePositionBias).counts() == {"ShareRelativePositionBias": count - 1}
    assert types(model) == ["RelativePositionBias"] + ["Relu"] * count
    for result, wanted in zip(interpret(model, {"length": np.array([5])}), truth, strict=True):
        np.testing.assert_array_equal(result, wanted)


def test_values_and_attributes_that_differ_are_not_bound_to_one_name():
    graph = Graph()
    one, other = (graph.weight(name, np.zeros((32, 2))) for name in ("one", "other"))
    assert apply(graph.model(*biases(graph, one, other)), ShareRelativePositionBias).firings == []
    graph = Graph()
    table = graph.weight("table", np.zeros((32, 2)))
    length = graph.input("length", (1,), np.int64)
    both = [graph.vamp("").RelativePositionBias(length, table, max_distance=n) for n in (128, 64)]
    assert apply(graph.model(*both), ShareRelativePositionBias).firings == []


def test_a_value_that_is_used_elsewhere_is_not_swallowed():
    for keep in (False, True):
        graph = Graph()
        twice = graph.at("a").Add(x := graph.input("x"), x)
        total = graph.at("b").Add(twice, twice)
        model = graph.model(total, *([twice] if keep else []))
        assert apply(model, DoubleTwice).counts() == ({} if keep else {"DoubleTwice": 1})
        assert types(model) == (["Add", "Add"] if keep else ["Mul"])


def test_a_pattern_takes_neither_more_inputs_nor_fewer():
    graph = Graph()
    x, r = graph.input("x"), graph.input("r", (2, 3))
    weights = [graph.weight(f"w{i}", np.zeros((4, 3) if i % 2 == 0 else 4)) for i in range(4)]
    model = graph.model(graph.vamp("film").FiLM(x, r, *weights))
    assert apply(model, DropFiLM).firings == []


def test_constants_of_one_name_do_not_overwrite_each_other():
    shift = rule(
        "Shift", lambda op, x: op.Relu(x), lambda op, x: op.Add(x, op.constant(np.float32([1, 2, 3, 4]), "w"))
    )
    graph = Graph()
    weight = graph.weight("w", [5, 6, 7, 8])
    value = graph.at("a").Mul(graph.input("x"), weight)
    model = graph.model(graph.at("c").Relu(graph.at("b").Relu(value)))
    apply(model, shift)
    assert sorted(v.const_value.numpy()[0] for v in model.graph.initializers.values()) == [1, 1, 5]
    x = np.ones((2, 3, 4), np.float32)
    np.testing.assert_array_equal(interpret(model, {"x": x})[0][0, 0], [7, 10, 13, 16])


def test_constants_that_a_replacement_does_not_use_are_not_registered():
    wasteful = rule(
        "Wasteful", lambda op, x: op.Relu(x), lambda op, x: (op.constant(1.0, "unused"), op.Abs(x))[1]
    )
    model = chain(0)
    apply(model, wasteful)
    assert list(model.graph.initializers) == []


def test_dropped_constants_are_logged_with_their_reason():
    forget = rule(
        "Forget", lambda op, x, w: op.Mul(x, w), lambda op, x: op.Relu(x), drops={"w": "it is all ones"}
    )
    graph = Graph()
    pair = graph.at("").Add(graph.weight("g", np.ones(4)), graph.weight("v", np.ones(4)))
    model = graph.model(graph.at("gate").Mul(graph.input("x"), pair))
    (firing,) = apply(model, forget).firings
    assert (firing.rule, firing.module) == ("Forget", "gate")
    assert firing.dropped == (("g", "it is all ones"), ("v", "it is all ones"))


def test_constants_under_a_value_that_depends_on_an_input():
    graph = Graph()
    mixed = graph.at("").Add(graph.input("x"), graph.weight("w", np.ones(4)))
    assert constants_under(mixed) == []
    assert constants_under(ir.Value(name="free")) == []


def test_vamp_is_imported_when_a_rule_brings_it():
    lift = rule("Lift", lambda op, x: op.Relu(x), lambda op, x: vamp(op).FiLM(x))
    model = chain(0)
    del model.graph.opset_imports["vamp"]
    apply(model, lift)
    assert model.graph.opset_imports["vamp"] == 1
