"""Regions: each is right or wrong by itself, also where its inputs are so small that an epsilon shows."""

from __future__ import annotations

import math

import onnx
import pytest
import torch
from onnx import helper, numpy_helper

from vampconv.opsets import newest
from vampconv.verify.anchors import read_anchors
from vampconv.verify.evaluation import Evaluator
from vampconv.verify.layers import PartVerifier
from vampconv.verify.regions import BOUND, Regions
from vampconv.verify.truth import Record

from .conftest import MODELS
from .tagged import graph, node

OPSETS = (17, newest())


def edited(verifier: PartVerifier, edit) -> Regions:
    """The regions of a graph that was changed, with the reference as it was."""
    model = onnx.ModelProto()
    model.CopyFrom(verifier.model)
    edit(model.graph)
    evaluator = Evaluator(model, verifier.path.parent, torch.float64)
    return Regions(read_anchors(model), evaluator, verifier.truth.known)


def small(verifier, regions, place):
    return regions.read_small(place, verifier.truth.record, verifier.truth.reference.model)


def wrong(verifier, regions):
    """Names of the regions that are wrong, by their inputs or by small ones."""
    found = set()
    for place in regions:
        readings = regions.read(place), small(verifier, regions, place)
        if any(reading is not None and reading.wrong for reading in readings):
            found.add(place.stands_for[0][0])
    return found


def at_opset(golden, name, opset):
    return golden.verifier(name, golden.path(name, opset))


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", MODELS)
def test_every_region_of_a_clean_graph_is_right(golden, name, opset):
    verifier = at_opset(golden, name, opset)
    regions = verifier.regions()
    readings = [regions.read(place) for place in regions]
    assert [r.place.name for r in readings] == list(verifier.anchors.anchored)
    assert {r.problem for r in readings} == {""}
    assert max(r.error for r in readings) <= BOUND == 2.0**-22
    scaled = [r for place in regions if (r := small(verifier, regions, place)) is not None]
    assert {r.problem for r in scaled} == {""}
    assert max(r.error for r in scaled) <= BOUND


BIAS = "transformer.layers.0.self_attn.relative_attention_bias"


def transformer(layers):
    """Norms and gates; and all rows of the tables are read."""
    inside = ("norm_1", "norm_3", "feed_forward.act")
    small = {f"transformer.layers.{i}.{n}" for i in range(layers) for n in inside}
    return {*small, "transformer.norm", ">embedding.out_proj", BIAS}


UNITS = [f"mrf_blocks.{i}.block.{j}" for i in range(3) for j in range(3)]
SMALL = {
    "coarse": transformer(3),
    "lora": transformer(3),
    "c2f": transformer(2),
    "film": transformer(2),
    "ctrl": transformer(2),
    "odd encoder": {
        *(f"encoder.block.{i}.block.{j}.block.3" for i in (1, 2) for j in range(3)),
        *(f"quantizer.quantizers.{i}#1" for i in range(4)),
        *(f">quantizer.quantizers.{i}.out_proj" for i in range(3)),
    },
    "odd decoder": {
        ">decoder",
        *(f"decoder.model.{i}.block.2.{unit}.layer.3" for i in (1, 2) for unit in UNITS),
        *(f"decoder.model.{i}.block.0" for i in (1, 2)),
        "decoder.model.5",
    },
    "wavebeat": {f"blocks.{i}.act1" for i in range(8)},
}
"""Norms, gates, residual units between whose Snakes no value is left, Snakes before another op, activations; tables."""


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", SMALL)
def test_what_ordinary_inputs_do_not_reach_is_read_with_others_as_well(golden, name, opset):
    verifier = at_opset(golden, name, opset)
    regions = verifier.regions()
    read = {p.stands_for[0][0] for p in regions if small(verifier, regions, p) is not None}
    assert read == SMALL[name]


def test_a_batch_normalisation_of_its_own_is_read_with_small_inputs(golden, workshop):
    bundle = workshop.whole("wavebeat", disable=["FoldBatchNorm"])
    verifier = golden.verifier("wavebeat", bundle / "wavebeat.onnx")
    regions = verifier.regions()
    read = {p.stands_for[0][0] for p in regions if small(verifier, regions, p) is not None}
    assert read == {f"blocks.{i}.{n}" for i in range(8) for n in ("norm1", "res_norm", "act1")}
    assert wrong(verifier, regions) == set()


NORMS = [n for n in sorted(transformer(2)) if "norm" in n]


def change_epsilon(graph, norm, change):
    """Let one RMSNorm have another epsilon, as an attribute or as a constant of its own."""
    own = [
        n for n in graph.node if any(p.key == "vampconv.module" and p.value == norm for p in n.metadata_props)
    ]
    for n in own:
        if n.op_type == "RMSNormalization":
            (epsilon,) = [a for a in n.attribute if a.name == "epsilon"]
            epsilon.f = change(epsilon.f)
            return
    (add,) = [n for n in own if n.op_type == "Add"]
    constants = {t.name: t for t in graph.initializer}
    (known,) = [i for i, name in enumerate(add.input) if name in constants]
    epsilon = numpy_helper.to_array(constants[add.input[known]])
    add.input[known] = "another epsilon"
    graph.initializer.append(numpy_helper.from_array(change(epsilon).astype("f4"), "another epsilon"))


@pytest.mark.parametrize("factor", [0.0, 0.9, 10.0])
@pytest.mark.parametrize("opset", OPSETS)
def test_a_wrong_epsilon_is_found_in_every_norm_and_only_there(golden, opset, factor):
    verifier = at_opset(golden, "c2f", opset)
    for norm in NORMS:
        regions = edited(verifier, lambda g, n=norm: change_epsilon(g, n, lambda eps: eps * factor))
        assert wrong(verifier, regions) == {norm}


def test_small_inputs_show_what_ordinary_ones_hide(golden):
    verifier = at_opset(golden, "coarse", 17)
    regions = edited(verifier, lambda g: change_epsilon(g, "transformer.norm", lambda eps: eps * 0.9))
    (place,) = [p for p in regions if p.stands_for[0][0] == "transformer.norm"]
    assert not regions.read(place).wrong
    assert small(verifier, regions, place).error > 1e-3


def double(graph, value):
    """Let a value be twice what it was."""
    index = next(i for i, n in enumerate(graph.node) if value in n.output)
    maker = graph.node[index]
    maker.output[list(maker.output).index(value)] = "half"
    twice = helper.make_node("Add", ["half", "half"], [value])
    twice.metadata_props.extend(maker.metadata_props)
    del maker.metadata_props[:]
    graph.node.insert(index + 1, twice)


@pytest.mark.parametrize("name", ["coarse", "film", "odd encoder", "odd decoder", "wavebeat"])
def test_a_wrong_region_makes_no_other_wrong(golden, name):
    verifier = at_opset(golden, name, 17)
    places = [p for p in verifier.regions() if verifier.truth.known[p.name].any()]
    for place in places[:: max(1, len(places) // 6)]:
        regions = edited(verifier, lambda g, p=place: double(g, p.name))
        assert wrong(verifier, regions) == {place.stands_for[0][0]}


def test_a_region_lies_between_values_of_the_reference(golden):
    verifier = at_opset(golden, "c2f", 17)
    regions = verifier.regions()
    by_name = {p.stands_for[0][0]: p for p in regions}
    names = {p.name: p.stands_for[0][0] for p in regions}
    layer = "transformer.layers.0"

    def borders(name):
        return {names.get(border, border) for border in regions.borders(by_name[name])}

    assert borders(f"{layer}.norm_3") == {f">{layer}.norm_3"}
    assert borders(f"{layer}.feed_forward.act") == {f"{layer}.feed_forward.w_1"}
    assert borders(f">{layer}.self_attn.fc") == {
        *(f"{layer}.self_attn.{n}" for n in ("w_qs", "w_ks", "w_vs", "relative_attention_bias"))
    }
    assert borders(layer) == {f">{layer}.norm_3", f"{layer}.feed_forward.w_2"}
    assert borders(">embedding.out_proj") == {"codes"}
    assert regions.rules_inside(by_name[f"{layer}.norm_3"]) == ("ClassicRMSNorm",)
    assert regions.rules_inside(by_name[layer]) == ()
    others = regions.others(by_name[layer])
    assert by_name[layer].name not in others
    assert len(others) == len(verifier.truth.known) - 1


def toy(op, truth, given=(1.0, 2.0), **attributes):
    """The reading of a region of one node that takes ``x``."""
    maker = node(op, "x", "y", "module")
    maker.attribute.extend(helper.make_attribute(k, v) for k, v in attributes.items())
    model = graph(maker)
    wanted = torch.tensor(truth, dtype=torch.float64 if isinstance(truth[0], float | list) else torch.int64)
    x = torch.tensor(given)
    known = {"x": x.double() if x.is_floating_point() else x, "y": wanted}
    regions = Regions(read_anchors(model), Evaluator(model, None), known)
    (place,) = regions
    return regions.read(place)


def test_readings_of_one_node():
    assert not toy("Neg", [-1.0, -2.0]).wrong
    assert toy("Neg", [-1.0, -2.0]).error == 0
    assert toy("Abs", [-1.0, -2.0]).error == pytest.approx(2)
    assert toy("Abs", [-1.0, -2.0]).wrong


@pytest.mark.parametrize("factor", [0.99, 1.01])
def test_the_border_of_what_is_wrong(factor):
    reading = toy("Neg", [-1 - factor * BOUND, -2 - 2 * factor * BOUND])
    assert reading.wrong == (factor > 1)


@pytest.mark.parametrize(
    ("op", "given", "truth"),
    [
        ("Log", [-1.0, 1.0], [0.0, 0.0]),  # NaN for a number
        ("Neg", [1.0, 1.0], [math.nan, -1.0]),  # a number for NaN
        ("Neg", [math.inf, 1.0], [math.inf, -1.0]),  # the sign of infinity
        ("Neg", [math.inf, 1.0], [math.nan, -1.0]),
        ("Log", [-1.0, 1.0], [math.inf, 0.0]),
        ("Neg", [math.nan, 1.0], [-1.0, math.nan]),  # not at the same places
    ],
)
def test_what_is_not_finite_must_be_where_it_is_in_the_reference(op, given, truth):
    reading = toy(op, truth, given)
    assert reading.wrong
    assert reading.problem


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_the_reference_has_not_finite_as_well_is_no_fault_of_the_region(value):
    assert not toy("Abs", [value, 2.0], [value, 2.0]).wrong
    assert not toy("Abs", [value, value], [value, value]).wrong
    assert toy("Abs", [value, 2.5], [value, 2.0]).wrong


def test_shapes_and_regions_that_cannot_be_computed():
    assert toy("Neg", [-1.0, -1.0, -1.0]).problem == "its shape is [2], not [3]"
    assert toy("Neg", [[-1.0, -2.0]]).wrong
    assert "cannot be computed" in toy("NoSuchOperator", [1.0, 2.0]).problem
    assert "cannot be computed" in toy("Transpose", [1.0, 2.0], perm=[1, 0]).problem
    assert toy("NoSuchOperator", [1.0, 2.0]).wrong


def test_integers_are_compared_exactly():
    assert not toy("Neg", [-1, -2], given=(1, 2)).wrong
    reading = toy("Neg", [-1, -3], given=(1, 2))
    assert (reading.wrong, reading.error) == (True, 0.5)


def test_a_choice_is_not_wrong_by_itself():
    """Where scores are close, it may be made either way: it is judged by its scores, and by probes."""
    assert not toy("ArgMax", [1], keepdims=1, axis=0).wrong
    assert not toy("ArgMax", [0], keepdims=1, axis=0).wrong


@pytest.mark.parametrize("codebook", [0, 1, 3])
def test_a_wrong_choice_is_found(golden, codebook):
    verifier = at_opset(golden, "odd encoder", 17)

    def change(graph):
        choices = [n for n in graph.node if n.op_type == "ArgMax"]
        choices[codebook].op_type = "ArgMin"

    assert wrong(verifier, edited(verifier, change)) == {f"quantizer.quantizers.{codebook}#1"}


def change_number(graph, verifier, name, index):
    """Let one number of a constant be another."""
    (tensor,) = [t for t in graph.initializer if t.name == name]
    array = numpy_helper.to_array(tensor, str(verifier.path.parent)).copy()
    array[index] += 1
    tensor.CopyFrom(numpy_helper.from_array(array, name))


@pytest.mark.parametrize(
    ("name", "constant", "index", "region"),
    [
        ("c2f", "quantizer.quantizers.3.codebook.weight", (17, 2), ">embedding.out_proj"),
        ("c2f", "quantizer.quantizers.0.codebook.weight", (64, 0), ">embedding.out_proj"),
        ("c2f", f"{BIAS}.weight", (0, 0), BIAS),
        ("c2f", f"{BIAS}.weight", (1, 182), BIAS),
        ("odd decoder", None, (31, 5), ">decoder"),
    ],
)
def test_a_number_that_no_case_reads_is_found(golden, name, constant, index, region):
    verifier = at_opset(golden, name, 17)
    if constant is None:
        tables = [t.name for t in verifier.model.graph.initializer if list(t.dims) == [4 * 32, 8]]
        (constant,) = tables
    regions = edited(verifier, lambda graph: change_number(graph, verifier, constant, index))
    assert wrong(verifier, regions) == {region}


def test_constants_that_the_graph_has_not_are_no_borders():
    model = graph(node("Mul", "x weight", "y", "module"))
    known = {"x": torch.ones(2).double(), "y": torch.full((2,), 3.0).double()}
    regions = Regions(read_anchors(model), Evaluator(model, None), known, {"weight": torch.tensor(3.0)})
    (place,) = regions
    assert regions.borders(place) == ["x"]
    assert regions.read(place).error == 0
    assert regions.rules_inside(place) == ()


class Shrinks(torch.nn.Module):
    """What is small becomes zero."""

    def forward(self, x):
        return torch.nn.functional.hardshrink(x, 1e-3)


@pytest.mark.parametrize("order", ["", "10"])
def test_a_region_that_takes_an_input_of_the_graph(order):
    """Its border has no names of the reference, so that no module is known to take it."""
    model = graph(node("Neg", "x", "y", f"shrinks@{order}" if order else "shrinks"))
    x = torch.ones(2, 3)
    record = Record(values={">shrinks": x, "shrinks": -x}, calls=["shrinks"])
    regions = Regions(read_anchors(model), Evaluator(model, None), {"x": x, "y": -x})
    (place,) = regions
    assert regions.read_small(place, record, torch.nn.ModuleDict({"shrinks": Shrinks()})) is None


@pytest.mark.parametrize(("op", "is_wrong"), [("Identity", True), ("Shrink", False)])
def test_small_inputs_are_scaled_in_the_order_of_the_graph(op, is_wrong):
    shrink = node(op, "a", "y", "shrinks@10")
    if op == "Shrink":
        shrink = node("Mul", "a zero", "y", "shrinks@10")
    model = graph(node("Neg", "x", "a", "before@10"), shrink)
    x = torch.arange(1.0, 7).reshape(2, 3).double()
    record = Record(values={"before": x, ">shrinks": x, "shrinks": x}, calls=["before", "shrinks"])
    known = {"x": -x.T, "a": x.T, "y": x.T}
    zero = {"zero": torch.zeros((), dtype=torch.float64)}
    regions = Regions(read_anchors(model), Evaluator(model, None), known, zero)
    place = list(regions)[1]
    inputs, expected = regions.small(place, record, torch.nn.ModuleDict({"shrinks": Shrinks()}))
    assert torch.equal(inputs["a"], x.T * 1e-4)
    assert expected.shape == (3, 2)
    assert not expected.any()
    reading = regions.read_small(place, record, torch.nn.ModuleDict({"shrinks": Shrinks()}))
    assert reading.wrong == is_wrong


def test_the_outermost_elements_of_dilated_kernels_are_read(golden):
    """The last block's reach 3,584 of its steps away, which takes twenty seconds of audio."""
    path = golden.path("wavebeat")
    verifier = golden.verifier("wavebeat")
    model = onnx.load(path)
    convs = [n for n in model.graph.node if n.op_type == "Conv" and max(_dilations(n)) > 1]
    assert max(max(_dilations(n)) for n in convs) == 512
    for conv in convs:
        (weight,) = [t for t in model.graph.initializer if t.name == conv.input[1]]
        changed = onnx.numpy_helper.to_array(weight).copy()
        changed[..., -1] *= 1.01
        changed_model = onnx.ModelProto()
        changed_model.CopyFrom(model)
        (tensor,) = [t for t in changed_model.graph.initializer if t.name == conv.input[1]]
        tensor.CopyFrom(onnx.numpy_helper.from_array(changed, weight.name))
        graph = Evaluator(changed_model, path.parent, torch.float64)
        regions = Regions(verifier.anchors, graph, verifier.truth.known)
        record, reference = verifier.truth.record, verifier.truth.reference.model
        wrong = [p.module for p in regions if _small_error(regions, p, record, reference) > BOUND]
        (module,) = [p.value for p in conv.metadata_props if p.key == "vampconv.module"]
        assert wrong == [module]


def _dilations(node):
    return next(a.ints for a in node.attribute if a.name == "dilations")


def _small_error(regions, place, record, reference):
    reading = regions.read_small(place, record, reference)
    return 0.0 if reading is None else reading.error
