"""The audit itself: evidence that proves nothing is refused, and every kind of sample is held to its word."""

from __future__ import annotations

import re

import numpy as np
import onnx_ir as ir
import pytest
from vampconv_rules.film import DropIdentityFiLM
from vampconv_rules.rms_norm import StandardRMSNorm

from vampconv.dialect import NodeBuilder, vamp
from vampconv.rewrite import Close, Draw, Exact, Fails, Refused, Sample, Stage
from vampconv.rewrite.audit import OPSETS, SIZES, RefutedError, audit
from vampconv.rewrite.execute import load
from vampconv.rewrite.sample_graph import build

from .toy import DoubleTwice, rule


def variant(base, **pieces):
    functions = {k: staticmethod(v) if callable(v) else v for k, v in pieces.items()}
    return type(f"Changed{base.__name__}", (base,), functions)


def refuted(rule, message, **options):
    with pytest.raises(RefutedError, match=message):
        audit(rule, **options)


def test_a_verdict_counts_samples_at_every_opset_and_size():
    verdict = audit(StandardRMSNorm)
    assert verdict.compared == 4 * len(OPSETS) * len(SIZES)
    assert verdict.refused == len(OPSETS) * len(SIZES)
    assert 0 < verdict.largest_error < 1e-4


def test_rules_on_standard_ops_can_be_audited():
    assert audit(DoubleTwice).compared == len(OPSETS) * len(SIZES)
    refuted(variant(DoubleTwice, after=lambda op, x: op.Mul(x, 3.0)), "passes the claimed")


@pytest.mark.parametrize(
    "evidence",
    [
        lambda draw: [],  # noqa: ARG005
        lambda draw: [Refused("opset 23", opset=22, x=draw(2, 4), weight=draw(4), eps=1e-6)],
    ],
)
def test_a_rule_without_samples_is_refused(evidence):
    refuted(variant(StandardRMSNorm, evidence=evidence), "brings no sample that can be compared")


def test_no_opset_or_size_to_compare_at_is_refused():
    refuted(DropIdentityFiLM, "no sample", opsets=())
    refuted(DropIdentityFiLM, "no sample", sizes=())


def test_a_claim_that_zeros_would_pass_is_refused():
    refuted(variant(DropIdentityFiLM, claim=Close(rtol=1, atol=1e-6)), "zeros would pass its claim")
    zeros = variant(DropIdentityFiLM, evidence=lambda draw: [Sample(x=draw("batch", "time") * 0)])
    refuted(zeros, "zeros would pass")


def test_a_guard_that_no_sample_shows_is_refused():
    hidden = variant(
        DropIdentityFiLM,
        require=lambda m: [(m.opset < 99, "too new"), (m.target == "portable", "not portable")],
    )
    refuted(hidden, "brings no sample for its guard '(too new|not portable)'")


def test_a_sample_whose_shapes_do_not_fit_is_refused():
    misfit = variant(StandardRMSNorm, evidence=lambda draw: [Sample(x=draw(2, 4), weight=draw(5), eps=1e-6)])
    refuted(misfit, "`before` raised ValueError: vamp.RMSNorm: weight")


def test_a_sample_must_give_the_arguments_of_the_pattern():
    lacking = variant(StandardRMSNorm, evidence=lambda draw: [Sample(x=draw(2, 4), weight=draw(4))])
    refuted(lacking, "the sample gives x, weight; `before` has x, weight, eps")
    misspelt = variant(DropIdentityFiLM, evidence=lambda draw: [Sample(x=draw(2, 4), X=draw(2, 4))])
    refuted(misspelt, "the sample gives x, X; `before` has x")


def test_a_rule_must_fire_as_often_as_the_sample_says():
    def evidence(draw):
        yield Sample(x=draw("batch", "time"), fires=2)

    refuted(variant(DropIdentityFiLM, evidence=evidence), "fired 1 times, not 2")


def test_a_refused_sample_must_match_be_refused_and_for_its_reason():
    def refusing(reason, **more):
        def evidence(draw):
            yield Refused(reason, opset=22, x=draw(2, 4), weight=draw(4), eps=1e-6)
            yield Sample(opset=23, x=draw("batch", 4), weight=draw(4), eps=1e-6)

        return variant(StandardRMSNorm, evidence=evidence, **more)

    assert audit(refusing("needs opset 23")).refused > 0
    refuted(refusing("needs a GPU"), "refused because 'RMSNormalization needs opset 23', not 'needs a GPU'")
    refuted(refusing("opset", require=lambda m: [(m.opset > 0, "opset")]), "accepted what it must refuse")


def test_a_refused_sample_that_the_pattern_does_not_match_shows_nothing():
    def before(op, x):
        return vamp(op).FiLM(x) if isinstance(op, NodeBuilder) else op.Relu(vamp(op).FiLM(x))

    unmatched = variant(DropIdentityFiLM, before=before, evidence=lambda draw: [Refused("x", x=draw(2, 4))])
    refuted(unmatched, "its pattern does not match the sample that it must refuse")


def embedding(after, evidence):
    return rule(
        "Embedding",
        lambda op, codes, table: op.Gather(table, codes, axis=0),
        after,
        evidence=evidence,
        stage=Stage.TARGET,
    )


def failing(draw, low=5, high=7):
    yield Sample(codes=draw.integers(0, 4, "time"), table=draw(5, 3))
    yield Fails(codes=draw.integers(low, high, "time"), table=draw(5, 3))


def lookup(op, codes, table):
    return op.GatherND(table, op.Unsqueeze(codes, [1]))


def test_where_the_meaning_is_an_error_the_graph_must_fail():
    assert audit(embedding(lookup, failing)).failed == len(OPSETS) * len(SIZES)
    clipped = embedding(lambda op, codes, table: lookup(op, op.Min(codes, 4), table), failing)
    refuted(clipped, "gives a result where the meaning is an error")
    harmless = embedding(lookup, lambda draw: failing(draw, low=0, high=4))
    refuted(harmless, "the meaning does not fail, as the sample says")


@pytest.mark.parametrize(
    ("after", "message"),
    [
        (lambda op, x: op.Cast(x, to=11), "dtype|type"),
        (lambda op, x: op.Cast(x, to=10), "dtype|type"),
        (lambda op, x: op.Cast(x, to=7), "dtype|type"),
        (lambda op, x: op.Unsqueeze(x, [0]), "shape"),
        (lambda op, x: op.NoSuchOp(x), "NoSuchOp"),
        (lambda op, x: op.Relu(x, x), "Relu"),
        (lambda op, x: op.Add(x, np.array([1.0])), "type"),
        (lambda op, x: op.Reshape(x, [3, -1]), "Reshape|shape|reshape"),
    ],
)
def test_illegal_graphs_and_other_types_and_ranks_are_refuted(after, message):
    identity = rule(
        "Same",
        lambda op, x: op.Identity(op.Identity(x)),
        after,
        evidence=lambda draw: [Sample(x=draw("batch", "time"))],
        stage=Stage.TARGET,
    )
    with pytest.raises(RefutedError) as error:
        audit(identity)
    assert re.search(message, str(error.value), re.IGNORECASE)


def test_within_the_dialect_types_are_compared_too():
    assert audit(DropIdentityFiLM).compared > 0
    halved = variant(DropIdentityFiLM, after=lambda op, x: op.Cast(x, to=10))
    refuted(halved, "type|elements differ")


def test_arrays_become_constants_unless_a_dimension_is_named():
    draw = Draw({"time": 3}, seed=1)
    sample = Sample(x=draw("time", 4), weight=draw(4), eps=1e-6)
    model, feeds = build(StandardRMSNorm, sample, 23)
    assert [v.name for v in model.graph.inputs] == ["x"]
    assert [d if isinstance(d, int) else d.value for d in model.graph.inputs[0].shape] == ["time", 4]
    assert list(model.graph.initializers) == ["weight"]
    assert set(feeds) == {"x", "weight"}


def test_drawn_arrays_remember_that_they_are_inputs():
    draw = Draw({"time": 3}, seed=1)
    scaled = draw("time", 4) * 2
    assert scaled.symbols == ("time", 4)
    assert scaled.is_input
    assert draw.length("time").tolist() == [3]
    assert not draw(3, 4).is_input
    assert draw.used == {"time"}
    assert Exact().breach(np.asarray(Draw({}, 5)(9)), np.asarray(Draw({}, 5)(9), np.float64)) is None


def test_a_drawn_input_is_no_constant_even_where_all_is_known():
    class Folded(DropIdentityFiLM):
        @staticmethod
        def require(m):
            found = m.constant("x")
            yield found is not None, "x is not a constant"
            yield found.tolist() == [[2.0, 2.0]], "x is not two twos"

        @staticmethod
        def evidence(draw):
            yield Sample(x=draw(1, 2) * 0 + 2)
            yield Refused("x is not a constant", x=draw.input(1, 2))
            yield Refused("x is not two twos", x=draw(1, 2))

    assert audit(Folded).refused == 2 * len(OPSETS) * len(SIZES)
    drawn = Draw(SIZES[0]).input(3, 2)
    assert (drawn.symbols, drawn.is_input) == ((3, 2), True)


def test_a_computed_value_is_no_constant():
    class Folded(DropIdentityFiLM):
        @staticmethod
        def require(m):
            yield m.constant("x") is not None, "x is not a constant"

        @staticmethod
        def evidence(draw):
            yield Sample(x=draw("batch", 2))

    refuted(Folded, "fired 0 times, not 1")


def test_a_model_whose_shapes_must_be_inferred_is_loaded():
    op = NodeBuilder("here")
    x = ir.Value(name="x", shape=ir.Shape(("n", 3)), type=ir.TensorType(ir.DataType.FLOAT))
    y = op.Squeeze(op.Slice(op.Mul(x, x), [0], [1], [1]), [1])
    y.name, y.type = "y", ir.TensorType(ir.DataType.FLOAT)
    for index, constant in enumerate(op.constants):
        constant.name = f"c{index}"
    graph = ir.Graph([x], [y], nodes=op.nodes, initializers=op.constants, opset_imports={"": 17}, name="g")
    run = load(ir.Model(graph, ir_version=10))
    assert run({"x": np.float32([[2, 1, 1], [3, 1, 1]])})[0].tolist() == [4, 9]
