"""Names of nodes and weights, sharing of equal constants, and what a stage must not leave behind."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.dialect import NodeBuilder, vamp
from vampconv.errors import PluginError
from vampconv.passes.legalize import check_domains
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.passes.shapes import infer_shapes
from vampconv.passes.tidy import SMALL, tidy
from vampconv.plugins import builtin_rules, select_rules
from vampconv.rewrite import Stage
from vampconv.rewrite.engine import Log, apply_rules
from vampconv.rewrite.trace import RULES

RULE_SET = select_rules(builtin_rules())
DIM = 4


def lazy(name, array):
    """A weight of a checkpoint."""
    array = np.asarray(array, np.float32)
    tensor = ir.LazyTensor(lambda: ir.tensor(array), ir.DataType.FLOAT, ir.Shape(array.shape), name=name)
    return ir.Value(name=name, shape=tensor.shape, type=ir.TensorType(tensor.dtype), const_value=tensor)


def graph_of(layers, rules=RULE_SET):
    random = np.random.default_rng(2)
    x = ir.Value(name="x", shape=ir.Shape(("batch", "time", DIM)), type=ir.TensorType(ir.DataType.FLOAT))
    value, builders, weights = x, [], []

    def weight(name, *shape):
        weights.append(lazy(name, random.standard_normal(shape)))
        return weights[-1]

    def at(module):
        builders.append(NodeBuilder(module))
        return vamp(builders[-1])

    for i in range(layers):
        layer = f"transformer.layers.{i}"
        value = at(f"{layer}.norm_1").RMSNorm(value, weight(f"{layer}.norm_1.weight", DIM), eps=1e-6)
        a, b = weight(f"{layer}.fc.lora_A", 2, DIM), weight(f"{layer}.fc.lora_B", DIM, 2)
        fc = at(f"{layer}.fc")
        value = fc.Linear(value, fc.LoRA(weight(f"{layer}.fc.weight", DIM, DIM), a, b, scale=0.5))
    last = at("classifier.layers.0")
    g, v = weight("classifier.layers.0.weight_g", 6, 1, 1), weight("classifier.layers.0.weight_v", 6, DIM, 1)
    value = last.Classifier(value, last.WeightNorm(g, v), weight("classifier.layers.0.bias", 6), n_predict=2)
    value.name = "logits"
    nodes = [n for b in builders for n in b.nodes]
    constants = weights + [c for b in builders for c in b.constants]
    graph = ir.Graph(
        [x], [value], nodes=nodes, initializers=constants, opset_imports={"": 17, "vamp": 1}, name="g"
    )
    model = ir.Model(graph, ir_version=10)
    compile_graph(model, Options(rules=rules))
    return model


def test_weights_are_named_after_their_checkpoint_tensors():
    names = list(graph_of(2).graph.initializers)
    assert [n for n in names if not n.startswith("/")] == [
        "transformer.layers.0.norm_1.weight",
        "transformer.layers.0.fc.weight",
        "transformer.layers.1.norm_1.weight",
        "transformer.layers.1.fc.weight",
        "classifier.layers.0.weight",
        "classifier.layers.0.bias",
    ]


def test_nodes_are_named_by_module_and_op():
    model = graph_of(2)
    names = [n.name for n in model.graph]
    assert "/transformer/layers/1/norm_1/ReduceMean" in names
    assert "/transformer/layers/0/norm_1/Mul.1" in names
    assert all(n.name.startswith("/") and n.op_type in n.name for n in model.graph)


def test_names_are_unique_and_inputs_and_outputs_keep_theirs():
    model = graph_of(5)
    graph = model.graph
    values = [
        v.name for v in (*graph.inputs, *graph.initializers.values(), *(v for n in graph for v in n.outputs))
    ]
    assert None not in values
    assert len(set(values)) == len(values)
    assert len({n.name for n in graph}) == len(list(graph))
    assert ([v.name for v in graph.inputs], [v.name for v in graph.outputs]) == (["x"], ["logits"])
    assert all(v.const_value.name == name for name, v in graph.initializers.items())


def test_names_are_the_same_each_time():
    protos = [ir.to_proto(graph_of(3)).SerializeToString(deterministic=True) for _ in range(2)]
    assert protos[0] == protos[1]


def small(op, values):
    x = ir.Value(name="x", shape=ir.Shape((2, DIM)), type=ir.TensorType(ir.DataType.FLOAT))
    total = x
    for value in values:
        total = op.Add(total, value)
    total.name, total.type, total.shape = "y", x.type, x.shape
    for index, constant in enumerate(op.constants):
        constant.name = f"c{index}"
    constants = op.constants + [v for v in values if isinstance(v, ir.Value) and v not in op.constants]
    graph = ir.Graph([x], [total], nodes=op.nodes, initializers=constants, opset_imports={"": 17}, name="g")
    return ir.Model(graph, ir_version=10)


def shared(*values):
    model = small(NodeBuilder("m"), list(values))
    tidy(model)
    kept = set(model.graph.initializers.values())
    assert kept == {n.inputs[1] for n in model.graph}
    return len(kept)


def test_equal_small_constants_are_one():
    assert shared(1.0, 1.0, 1.0) == 1
    assert shared(1.0, 2.0) == 2
    assert shared(np.float32([1]), np.float32(1)) == 2
    assert shared(0.0, -0.0) == 2
    assert shared(np.float32([np.nan]), np.float32([np.nan])) == 1


def test_large_constants_and_weights_are_not_compared():
    largest = np.zeros((SMALL // 16, 1, DIM), np.float32)
    assert shared(largest, largest.copy()) == 1
    large = np.zeros((SMALL // 16 + 1, 1, DIM), np.float32)
    assert shared(large, large.copy()) == 2
    assert shared(lazy("a", np.ones(DIM)), lazy("b", np.ones(DIM))) == 2


def test_what_nothing_uses_goes():
    op = NodeBuilder("m")
    model = small(op, [1.0])
    idle = ir.node("Relu", [model.graph.inputs[0]])
    model.graph.append(idle)
    model.graph.register_initializer(lazy("idle", [1.0]))
    model.graph.opset_imports["vamp"] = 1
    tidy(model)
    assert [n.op_type for n in model.graph] == ["Add"]
    assert list(model.graph.initializers) == ["c0"]
    assert dict(model.graph.opset_imports) == {"": 17}


def test_an_ill_typed_graph_is_told():
    model = small(NodeBuilder("m"), [np.float64([1.0])])
    with pytest.raises(PluginError, match="the rules made an ill-typed graph"):
        infer_shapes(model)


def left(rules, opset=17, makers=None):
    op = NodeBuilder("transformer.layers.0.ffn")
    x = ir.Value(name="x", shape=ir.Shape(("batch", "time", 8)), type=ir.TensorType(ir.DataType.FLOAT))
    value = vamp(op).GatedGELU(x)
    value.name = "y"
    if makers:
        op.nodes[0].metadata_props[RULES] = makers
    graph = ir.Graph([x], [value], nodes=op.nodes, opset_imports={"": opset, "vamp": 1}, name="g")
    model, log = ir.Model(graph, ir_version=10), Log()
    apply_rules(model, rules, opset=opset, log=log)
    with pytest.raises(PluginError) as raised:
        check_domains(model, Stage.LOWER, log)
    assert raised.value.code == 7
    return str(raised.value)


def test_an_op_that_is_left_is_named_with_its_module_maker_and_reasons():
    rules = [r for r in RULE_SET if r.__name__ != "ClassicGatedGELU"]
    message = left(rules, makers="Older,Maker")
    node = "vamp.GatedGELU /transformer/layers/0/ffn/GatedGELU (module transformer.layers.0.ffn)"
    assert f"stage lower leaves {node}, made by rule Maker" in message
    assert "StandardGatedGELU declines: Gelu needs opset 20" in message


def test_an_op_that_no_rule_knows_is_named():
    assert left([]).endswith("made by the frontend; no enabled rule replaces it")


def test_the_dialect_may_remain_until_it_is_lowered():
    op = NodeBuilder("m")
    x = ir.Value(name="x", shape=ir.Shape((1, 8)), type=ir.TensorType(ir.DataType.FLOAT))
    value = vamp(op).GatedGELU(x)
    model = ir.Model(ir.Graph([x], [value], nodes=op.nodes, opset_imports={"": 17, "vamp": 1}), ir_version=10)
    check_domains(model, Stage.CANONICAL, Log())
    foreign = ir.node("Gelu", [x], domain="com.microsoft")
    model.graph.append(foreign)
    with pytest.raises(PluginError, match=r"stage canonical leaves com\.microsoft\.Gelu"):
        check_domains(model, Stage.CANONICAL, Log())
