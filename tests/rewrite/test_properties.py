"""Random graphs of vamp ops: lowering ends, is idempotent, leaves nothing dangling, and keeps the values."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vampconv.rewrite import Stage
from vampconv.rewrite.engine import apply_rules
from vampconv.rewrite.execute import interpret, load
from vampconv.rewrite.plugins import installed_rules, select_rules
from vampconv.rewrite.trace import module_of, rules_of

from .toy import Graph, dangling, types

RULES = select_rules(installed_rules())
DIM, HEADS, TIME = 4, 2, 3
CHECKED = settings(deadline=None, max_examples=150, derandomize=True, print_blob=True)

STEPS = (
    "norm",
    "film",
    "modulate",
    "linear",
    "biased",
    "lora",
    "conv",
    "gate",
    "attend",
    "attend_plainly",
    "rippled",
    "waves",
    "snake",
    "batch_norm",
    "normed_conv",
    "pad",
    "quantise",
    "add",
)


class Growing:
    """A graph that grows by one op of the model at a time; every value is [2, 3, 4]."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.graph = Graph()
        self.values = [self.graph.input("x", (2, TIME, DIM))]
        self.table = self.weight(32, HEADS)
        self.length = self.graph.input("length", (1,), np.int64)
        self.level = self.graph.input("r", (2,))
        self.feeds = {
            "x": self.random.standard_normal((2, TIME, DIM)).astype(np.float32),
            "length": np.array([TIME]),
            "r": np.array([0.25, 1.0], np.float32),
        }

    def weight(self, *shape):
        name = f"w{len(self.graph.weights)}"
        return self.graph.weight(name, self.random.standard_normal(shape) / 2)

    def grow(self, step, pick, other):
        x, y = self.values[pick % len(self.values)], self.values[other % len(self.values)]
        op = self.graph.vamp(f"layers.{len(self.values)}.{step}")
        self.values.append(self.made(step, op, x, y))

    def made(self, step, op, x, y):  # noqa: C901
        match step:
            case "norm":
                return op.RMSNorm(x, self.weight(DIM), eps=1e-6)
            case "film":
                return op.FiLM(x)
            case "modulate":
                condition = op.NoiseEmbedding(self.level, dim=5)
                weights = [self.weight(*s) for s in ((DIM, 5), (DIM,), (DIM, 5), (DIM,))]
                return op.FiLM(x, condition, *weights)
            case "linear":
                return op.Linear(x, self.weight(DIM, DIM))
            case "biased":
                return op.Linear(x, self.weight(DIM, DIM), self.weight(DIM))
            case "lora":
                adapted = op.LoRA(self.weight(DIM, DIM), self.weight(2, DIM), self.weight(DIM, 2), scale=0.5)
                return op.Linear(x, adapted)
            case "conv":
                weight = op.WeightNorm(self.weight(DIM, 1, 1), self.weight(DIM, DIM, 1))
                return op.PointwiseConv(x, weight, self.weight(DIM))
            case "gate":
                return op.GatedGELU(op.Linear(x, self.weight(2 * DIM, DIM)))
            case "attend":
                bias = op.RelativePositionBias(self.length, self.table, max_distance=128)
                return op.Attention(x, y, y, bias, heads=HEADS)
            case "attend_plainly":
                return op.Attention(x, y, x, heads=HEADS)
            case "snake":
                return op.Snake(x, self.positive(1, TIME, 1))
            case "waves":
                return self.convolved(op.Snake(self.convolved(x), self.positive(1, TIME, 1)))
            case "rippled":
                return self.convolved(op.Snake(x, self.positive(1, TIME, 1)))
            case "batch_norm":
                return self.normalised(op, x)
            case "normed_conv":
                return self.normalised(op, self.convolved(x))
            case "pad":
                return op.PadToMultiple(x, multiple=DIM)
            case "quantise":
                return self.quantised(op, x)
        return self.typed(self.graph.at("residual").Add(x, y))

    def positive(self, *shape):
        return self.graph.weight(f"w{len(self.graph.weights)}", self.random.uniform(0.5, 2, shape))

    def typed(self, value):
        value.shape, value.type = ir.Shape((2, TIME, DIM)), ir.TensorType(ir.DataType.FLOAT)
        return value

    def convolved(self, x):
        """A convolution over the last axis."""
        weights = self.weight(TIME, TIME, 3), self.weight(TIME)
        layout = {"strides": [1], "dilations": [1], "pads": [1, 1]}
        return self.typed(self.graph.at("conv").Conv(x, *weights, **layout))

    def normalised(self, op, x):
        statistics = [self.weight(TIME), self.weight(TIME), self.weight(TIME), self.positive(TIME)]
        return op.BatchNorm(x, *statistics, eps=1e-5)

    def quantised(self, op, x):
        """The sum of what two codebooks make of the nearest code and of code 1, and x to keep it continuous."""
        codes = op.NearestCode(x, self.weight(5, DIM))
        ones = self.graph.at("codes").constant(np.ones((2, 1, TIME), np.int64))
        both = self.graph.at("codes").Concat(self.graph.at("codes").Unsqueeze(codes, [1]), ones, axis=1)
        both.shape, both.type = ir.Shape((2, 2, TIME)), ir.TensorType(ir.DataType.INT64)
        tables = self.graph.at("codes").Concat(
            *(self.graph.at("codes").Unsqueeze(op.Requantize(self.weight(5, DIM)), [0]) for _ in range(3)),
            axis=0,
        )
        tables.shape, tables.type = ir.Shape((3, 5, DIM)), ir.TensorType(ir.DataType.FLOAT)
        decoded = op.DecodeCodes(both, tables, self.weight(3, DIM, DIM), self.weight(3, DIM))
        return self.typed(self.graph.at("residual").Add(decoded, x))

    def model(self, opset):
        last = self.values[-1]
        if last.is_graph_input() or last.producer() is None:
            last = self.graph.at("end").Identity(last)
        return self.graph.model(last, opset=opset)


PLANS = st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 9), st.integers(0, 9)), max_size=9)
SEEDS = st.integers(0, 2**16)
OPSETS = st.sampled_from([17, 20, 23])


def grown(plan, seed, opset):
    growing = Growing(seed)
    for step in plan:
        growing.grow(*step)
    return growing.model(opset), growing.feeds


def lower(model, opset, rules=RULES):
    for stage in Stage:
        apply_rules(model, [r for r in rules if r.stage is stage], opset=opset)
    return model


def used(model, feeds):
    return {v.name: feeds[v.name] for v in model.graph.inputs}


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_a_lowered_graph_is_whole_legal_and_means_the_same(plan, seed, opset):
    model, feeds = grown(plan, seed, opset)
    wide = {k: v.astype(np.float64) if v.dtype.kind == "f" else v for k, v in feeds.items()}
    weights = {n: v.const_value.numpy() for n, v in model.graph.initializers.items()}
    wide |= {n: v.astype(np.float64) for n, v in weights.items() if v.dtype.kind == "f"}
    (truth,) = interpret(model, wide)
    lower(model, opset)
    assert dangling(model) == []
    assert {n.domain for n in model.graph} <= {""}
    (result,) = load(model)(used(model, feeds))
    assert result.shape == truth.shape
    assert np.isfinite(truth).all()
    assert np.linalg.norm(result - truth) <= 1e-4 * np.linalg.norm(truth) + 1e-6


@CHECKED
@given(PLANS, SEEDS, OPSETS)
def test_applying_twice_is_applying_once(plan, seed, opset):
    model, _ = grown(plan, seed, opset)
    lower(model, opset)
    once = ir.to_proto(model).SerializeToString(deterministic=True)
    for stage in Stage:
        rules = [r for r in RULES if r.stage is stage]
        assert apply_rules(model, rules, opset=opset).firings == []
    assert ir.to_proto(model).SerializeToString(deterministic=True) == once


@CHECKED
@given(PLANS, SEEDS)
def test_compiling_twice_gives_the_same_bytes(plan, seed):
    protos = [
        ir.to_proto(lower(grown(plan, seed, 17)[0], 17)).SerializeToString(deterministic=True)
        for _ in range(2)
    ]
    assert protos[0] == protos[1]


@CHECKED
@given(PLANS, SEEDS, st.randoms(use_true_random=False))
def test_rules_whose_patterns_do_not_compete_may_come_in_any_order(plan, seed, random):
    compete = ("StandardRMSNorm", "StandardAttention", "FoldSnakeOutputScale")
    first = [r for r in RULES if r.__name__ not in compete]
    second = random.sample(first, len(first))
    models = []
    for rules in (first, second):
        model, feeds = grown(plan, seed, 17)
        models.append(lower(model, 17, rules))
    assert sorted(types(models[0])) == sorted(types(models[1]))
    (one,), (other,) = (load(m)(used(m, feeds)) for m in models)
    np.testing.assert_array_equal(one, other)


@CHECKED
@given(PLANS, SEEDS)
def test_every_node_says_where_it_comes_from(plan, seed):
    model, _ = grown(plan, seed, 17)
    modules = {module_of(n) for n in model.graph}
    lower(model, 17)
    assert {module_of(n) for n in model.graph} <= modules
    names = {r.__name__ for r in RULES}
    for node in model.graph:
        assert set(rules_of(node)) <= names
        assert rules_of(node) or module_of(node) in ("residual", "conv", "codes", "end")
    assert len({n.name for n in model.graph if n.name}) == len([n for n in model.graph if n.name])


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


def test_every_lowering_rule_is_reached_by_these_graphs():
    plan = [(step, i, i + 1) for i, step in enumerate((*STEPS, "attend"))]
    fired = set()
    for opset in (17, 23):
        model, _ = grown(plan, 1, opset)
        for stage in Stage:
            log = apply_rules(model, [r for r in RULES if r.stage is stage], opset=opset)
            fired |= set(log.counts())
    lowering = {r.__name__ for r in RULES if r.stage in (Stage.CANONICAL, Stage.LOWER)}
    assert fired >= lowering - {
        "ClassicTanhGELU",
        "StandardTanhGELU",
        "GatherCodebookEmbedding",
        "LowerControlEncoder",
        "PermuteClassifier",
    }
