"""Folding: what becomes a weight and what stays, and that a folded graph computes what the graph did."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.dialect import OPS, NodeBuilder, vamp
from vampconv.passes.expression import leaves
from vampconv.passes.fold import FoldedTensor, expression_of, fold_constants
from vampconv.passes.names import name_everything
from vampconv.passes.shapes import infer_shapes
from vampconv.passes.tidy import tidy
from vampconv.plugins import builtin_rules
from vampconv.rewrite import Draw, Fails, Refused, Stage
from vampconv.rewrite.audit import SIZES
from vampconv.rewrite.engine import apply_rules
from vampconv.rewrite.execute import load
from vampconv.rewrite.sample_graph import build

from ..common import OPSETS

X = np.linspace(-2, 2, 8, dtype=np.float32).reshape(2, 4)
LOWERING = [r for r in builtin_rules() if r.stage is Stage.LOWER]


class Folding:
    """A graph over one input x [2, 4], float32, with weights by name."""

    def __init__(self):
        self.op = NodeBuilder("module")
        self.x = ir.Value(name="x", shape=ir.Shape((2, 4)), type=ir.TensorType(ir.DataType.FLOAT))

    def weight(self, name, array):
        return self.op.constant(np.asarray(array, np.float32), name)

    def model(self, *outputs, opset=17):
        for index, output in enumerate(outputs):
            output.name = f"y{index}"
            output.type = output.type or ir.TensorType(ir.DataType.FLOAT)
        for index, constant in enumerate(self.op.constants):
            constant.name = constant.name or f"literal{index}"
        graph = ir.Graph(
            [self.x], outputs, nodes=self.op.nodes, initializers=self.op.constants, opset_imports={"": opset}
        )
        graph.name = "folding"
        self.graph = graph
        return ir.Model(graph, ir_version=10)

    def types(self):
        return [n.op_type for n in self.graph]


def run(model):
    """Outputs in ONNX Runtime after the passes that follow folding."""
    for output in model.graph.outputs:
        output.shape = output.shape if output.shape is not None else ir.Shape((2, 4))
    tidy(model)
    infer_shapes(model)
    name_everything(model)
    assert len({n.name for n in model.graph}) == len(model.graph)
    return load(model)({"x": X})


def test_the_largest_constant_subgraph_becomes_one_weight():
    g = Folding()
    a, b = g.weight("a", np.eye(4)), g.weight("b", 2 * np.eye(4))
    product = g.op.MatMul(g.op.Transpose(a, perm=[1, 0]), g.op.Mul(b, 3.0))
    model = g.model(g.op.MatMul(g.x, product))
    assert fold_constants(model) == 1
    assert g.types() == ["MatMul"]
    (weight,) = g.graph.initializers.values()
    assert isinstance(weight.const_value, FoldedTensor)
    assert str(expression_of(weight)).startswith("MatMul(Transpose(a), Mul(b, 3.0))")
    np.testing.assert_array_equal(run(model)[0], 6 * X)


def test_folding_twice_is_folding_once():
    g = Folding()
    model = g.model(g.op.Add(g.x, g.op.Mul(g.weight("a", np.ones(4)), 3.0)))
    assert fold_constants(model) == 1
    assert fold_constants(model) == 0
    np.testing.assert_array_equal(run(model)[0], X + 3)


def test_a_constant_of_two_uses_is_folded_once():
    g = Folding()
    shared = g.op.Add(g.weight("a", np.ones(4)), 1.0)
    model = g.model(g.op.Mul(g.op.Add(g.x, shared), shared), g.op.Mul(g.x, g.op.Mul(shared, 2.0)))
    assert fold_constants(model) == 2
    assert g.types() == ["Add", "Mul", "Mul"]
    one, other = run(model)
    np.testing.assert_array_equal(one, (X + 2) * 2)
    np.testing.assert_array_equal(other, X * 4)


def test_a_constant_may_be_an_output():
    g = Folding()
    folded = g.op.Mul(g.weight("a", X), 2.0)
    model = g.model(folded, g.op.Add(g.x, folded), g.op.Mul(g.weight("b", X), 3.0))
    assert fold_constants(model) == 2
    assert [v.name for v in g.graph.outputs] == ["y0", "y1", "y2"]
    first, second, third = run(model)
    assert [v.name for v in g.graph.outputs] == ["y0", "y1", "y2"]
    np.testing.assert_array_equal(first, 2 * X)
    np.testing.assert_array_equal(second, 3 * X)
    np.testing.assert_array_equal(third, 3 * X)


@pytest.mark.parametrize(
    "stay",
    [
        lambda op, w: op.Softmax(w, axis=-1),
        lambda op, w: op.Exp(w),
        lambda op, w: op.Cast(op.Cast(w, to=11), to=1),
        lambda op, w: op.Split(w, [1, 1], axis=0, outputs=2)[0],
        lambda op, w: op.ReduceMean(w, axes=[0], keepdims=1),
        lambda op, w: op.Add(op.Relu(op.Add(w, 1.0)), 1.0),
    ],
    ids=["Softmax", "Exp", "Cast", "Split", "ReduceMean", "Relu between"],
)
def test_what_cannot_be_folded_stays_and_runs(stay):
    results = []
    for fold in (False, True):
        g = Folding()
        model = g.model(g.op.Add(g.x, stay(g.op, g.weight("w", X))))
        before = len(g.types())
        if fold:
            fold_constants(model)
            assert 1 < len(g.types()) <= before
        results.append(run(model)[0])
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6)


def test_inputs_are_never_folded():
    g = Folding()
    model = g.model(g.op.Mul(g.op.Add(g.x, 1.0), g.op.Add(g.x, 2.0)))
    assert fold_constants(model) == 0
    np.testing.assert_allclose(run(model)[0], (X + 1) * (X + 2), rtol=1e-6)


def test_weights_that_nothing_uses_any_more_are_gone():
    g = Folding()
    g.weight("unused", np.ones(3))
    model = g.model(g.op.Add(g.x, g.op.Mul(g.weight("a", np.ones(4)), 2.0)))
    fold_constants(model)
    assert len(g.graph.initializers) == 1


def test_a_folded_name_never_hides_another():
    g = Folding()
    folded = g.op.Mul(g.weight("a", np.ones(4)), 2.0)
    folded.name = "b"
    model = g.model(g.op.Add(g.op.Add(g.x, folded), g.weight("b", np.full(4, 7.0))))
    fold_constants(model)
    np.testing.assert_array_equal(run(model)[0], X + 2 + 7)


def test_a_value_is_not_kept_and_not_computed_before_it_is_asked_for(monkeypatch):
    import vampconv.passes.fold as fold

    computed, evaluate = [], fold.evaluate
    monkeypatch.setattr(fold, "evaluate", lambda e: (computed.append(str(e)), evaluate(e))[1])
    g = Folding()
    model = g.model(g.op.Add(g.x, g.op.Reshape(g.op.Mul(g.weight("a", np.ones(4)), 2.0), [1, 4])))
    fold_constants(model)
    assert [c for c in computed if "Mul" in c] == []
    (weight,) = g.graph.initializers.values()
    for _ in range(2):
        np.testing.assert_array_equal(weight.const_value.numpy(), [[2, 2, 2, 2]])
    assert len([c for c in computed if "Mul" in c]) == 2


def test_shapes_follow_reshape_and_squeeze():
    g = Folding()
    tall = g.op.Reshape(g.weight("a", np.arange(8)), [-1, 2, 1])
    flat = g.op.Squeeze(g.op.Transpose(tall, perm=[2, 0, 1]), [0])
    model = g.model(g.op.Add(g.x, g.op.Unsqueeze(g.op.ReduceSum(flat, [1], keepdims=0), [0])))
    fold_constants(model)
    (weight,) = g.graph.initializers.values()
    np.testing.assert_array_equal(weight.const_value.numpy(), [[1, 5, 9, 13]])


def test_a_transposition_without_perm_reverses_the_axes():
    g = Folding()
    model = g.model(g.op.MatMul(g.x, g.op.Transpose(g.weight("a", np.arange(16).reshape(4, 4)))))
    fold_constants(model)
    np.testing.assert_array_equal(run(model)[0], X @ np.arange(16, dtype=np.float32).reshape(4, 4).T)


def test_only_constants_have_expressions():
    with pytest.raises(ValueError, match="x is not a constant"):
        expression_of(Folding().x)


@pytest.mark.parametrize("opset", [17, 18, 23])
@pytest.mark.parametrize("rule", LOWERING, ids=lambda r: r.__name__)
def test_the_samples_of_every_rule_agree_after_folding(rule, opset):
    """Folding changes no result beyond the rounding that the rule's own claim allows."""
    for size in SIZES[1:]:
        for sample in rule.evidence(Draw(size, seed=7)):
            if isinstance(sample, Refused | Fails):
                continue
            at = max(opset, sample.opset or 0)
            results = []
            for fold in (False, True):
                model, feeds = build(rule, sample, at)
                apply_rules(model, [rule], opset=at)
                if fold:
                    fold_constants(model)
                    tidy(model)
                    infer_shapes(model)
                    name_everything(model)
                results += load(model)({v.name: feeds[v.name] for v in model.graph.inputs})
            plain, folded = results
            assert rule.claim.breach(folded, plain) is None, rule.claim.breach(folded, plain)


def requantization(table, opset):
    """The graph that is left of a table, each row of which is quantised again."""
    op = NodeBuilder("quantizer")
    constant = op.constant(table, "table")
    output = vamp(op).Requantize(constant)
    output.name = "output"
    graph = ir.Graph(
        [], [output], nodes=op.nodes, initializers=[constant], opset_imports={"": opset, "vamp": 1}, name="g"
    )
    model = ir.Model(graph, ir_version=10)
    apply_rules(model, LOWERING, opset=opset)
    assert fold_constants(model) == 1
    assert list(model.graph) == []
    return model.graph.outputs[0].const_value


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("rows", [1, 2, 64, 1024])
def test_a_table_that_is_quantised_again_folds_to_what_that_means(rows, opset):
    random = np.random.default_rng(rows)
    table = random.standard_normal((rows, 8)).astype(np.float32)
    for factor in (1, 2, 0.25, -1):
        to, of = random.integers(0, rows, (2, rows // 10))
        table[to] = np.float32(factor) * table[of]
    table[random.integers(0, rows, rows // 20)] = 0
    meant = OPS["Requantize"].meaning(table.astype(np.float64)).astype(np.float32)
    folded = requantization(table, opset)
    assert folded.shape.numpy() == table.shape
    assert (rows < 10) == (meant.tobytes() == table.tobytes())
    np.testing.assert_array_equal(folded.numpy(), meant)
    assert {leaf.name for leaf in leaves(folded.expression)} >= {"table"}
    assert requantization(table, opset).numpy().tobytes() == folded.numpy().tobytes()


def test_an_index_of_a_constant_can_be_computed_with():
    g = Folding()
    largest = g.op.ArgMax(g.weight("a", [[0, 5, 5, 1]]), axis=1, keepdims=0, select_last_index=1)
    rows = g.op.Gather(g.weight("b", np.arange(20).reshape(5, 4)), g.op.Add(largest, 2), axis=0)
    model = g.model(g.op.Add(g.x, rows))
    assert fold_constants(model) == 1
    np.testing.assert_array_equal(run(model)[0], X + np.float32([[16, 17, 18, 19]]))
