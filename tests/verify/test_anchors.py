"""Graphs say which values of the reference their own are, through every rewrite; nothing is lost or said twice."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from dataclasses import replace
from functools import cache

import onnx_ir as ir
import pytest

from vampconv.convert.inputs import open_inputs
from vampconv.convert.plan import make_drafts
from vampconv.opsets import newest
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.plugins import builtin_rules, select_rules
from vampconv.verify.anchors import Place, read_anchors
from vampconv.verify.coverage import cover
from vampconv.verify.result import Case
from vampconv.verify.side import References
from vampconv.verify.truth import recording
from vampconv.verify.verify import find_subjects

from .conftest import MODELS
from .tagged import graph, node

OPSETS = (17, newest())
STANDARD = ("StandardRMSNorm", "StandardAttention", "StandardGatedGELU")
SNAKES = ("FoldSnakeScales", "FoldSnakeOutputScale")
LAYOUTS = ("ConvOverImage", "InterleaveTransposed")
VARIANTS = [
    *((name, opset, ()) for name in MODELS for opset in OPSETS),
    *((name, opset, ("ShareRelativePositionBias",)) for name in ("coarse", "film") for opset in OPSETS),
    *(
        (name, newest(), rules)
        for name in ("coarse", "c2f", "film")
        for rules in (STANDARD, STANDARD[:1], STANDARD[1:])
    ),
    *(
        (f"odd {part}", 17, rules)
        for part in ("encoder", "decoder")
        for rules in (SNAKES[:1], SNAKES[1:], SNAKES)
    ),
    *(
        (f"odd {part}", newest(), rules)
        for part in ("encoder", "decoder")
        for rules in (LAYOUTS, SNAKES + LAYOUTS)
    ),
    ("odd decoder", 17, LAYOUTS[:1]),
    ("odd decoder", 17, LAYOUTS[1:]),
    *(
        ("wavebeat", opset, rules)
        for opset in OPSETS
        for rules in (("FoldBatchNorm",), LAYOUTS[:1], ("FoldBatchNorm", LAYOUTS[0]))
    ),
]


def test_what_a_graph_says():
    model = graph(
        node("Relu", "x", "a", "first >second@021", module="m", rules="One,Two"),
        node("Split", "a", "b c", "third#1", fused="inner=Two other=unused", module="m.n"),
        node("Add", "b c", "y", rules="One"),
    )
    anchors = read_anchors(model)
    assert anchors.places == {
        "a": Place("a", "m", ("One", "Two"), (("first", ""), (">second", "021"))),
        "b": Place("b", "m.n", (), (("third#1", ""),)),
        "c": Place("c", "m.n", (), ()),
        "y": Place("y", "", ("One",), ()),
    }
    assert list(anchors.places) == ["a", "b", "c", "y"]
    assert anchors.fused == {"inner": "Two", "other": "unused"}
    assert anchors.anchored == {"a": (("first", ""), (">second", "021")), "b": (("third#1", ""),)}
    assert anchors.wanted == {"first", ">second", "third#1"}
    assert anchors.outputs == ("y",)


def test_what_values_are_made_of():
    model = graph(
        node("Relu", "x", "a", "first"),
        node("Neg", "x", "p"),
        node("Add", "a p", "q"),
        node("Add", "q p", "b", "second"),
        node("Add", "b q", "y"),
    )
    sources = {name: set(made_of) for name, made_of in read_anchors(model).sources.items()}
    assert sources == {"a": set(), "p": set(), "q": {"a"}, "b": {"a"}, "y": {"a", "b"}}


def test_inputs_and_outputs_that_are_left_out_are_no_values():
    model = graph(node("Dropout", "x  ", " mask"), node("Clip", "mask  x", "y"))
    assert list(read_anchors(model).places) == ["mask", "y"]
    assert read_anchors(model).sources["y"] == frozenset()


@pytest.fixture(scope="module")
def recorded(golden):
    """Runs of the reference in which everything is kept."""
    return cache(lambda name: record_everything(golden.references(name)))


def record_everything(references):
    subject, model = references.subject, references.exact.model
    with recording(model) as record:
        feeds = subject.feeds(Case(1, 2, 0))
        record.values |= subject.run(model, feeds, [])
    return record


def names_of(model):
    """Names of the reference's values that stand in a graph, each as often as it does."""
    return [stands for place in read_anchors(model).places.values() for stands, _ in place.stands_for]


def check(model, record):
    anchors, said = read_anchors(model), names_of(model)
    assert [n for n, times in Counter(said).items() if times > 1] == []
    assert set(said) <= record.values.keys()
    assert not set(said) & anchors.fused.keys()
    coverage = cover(anchors, anchors.places, {}, record)
    assert coverage.unaccounted == ()
    assert coverage.calls == len(record.calls)
    assert coverage.calls_compared == sum(call in said for call in record.calls) > 0


@pytest.mark.parametrize(
    ("name", "opset", "disable"), VARIANTS, ids=lambda v: "-".join(v) if isinstance(v, tuple) else str(v)
)
def test_every_call_of_the_reference_is_a_value_or_explained(golden, recorded, name, opset, disable):
    check(golden.graph(name, opset, disable), recorded(name))


@pytest.mark.parametrize("flash", [False, True])
def test_models_of_other_sizes_and_with_flash_attention(workshop, flash):
    config = replace(
        workshop.tiny, flash_attn=flash, n_layers=2, n_conditioning_codebooks=1, ctrl_dims={"pitch": 3}
    )
    place = workshop.place()
    with ExitStack() as stack:
        inputs = open_inputs([workshop.model(place, config)], workshop.codec(place, config), [], stack)
        (subject,), (draft,) = find_subjects(inputs), make_drafts(inputs, stack)[0]
        record = record_everything(References(subject))
        for opset in OPSETS:
            model = draft.build(opset=opset)
            compile_graph(model, Options(opset, "portable", select_rules(builtin_rules())))
            model.graph.initializers.clear()
            check(ir.to_proto(model), record)


@pytest.mark.parametrize("name", MODELS)
def test_the_opset_makes_no_difference(golden, name):
    older, newer = (golden.graph(name, opset) for opset in OPSETS)
    assert names_of(older) == names_of(newer)
    assert read_anchors(older).fused == read_anchors(newer).fused


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        ("odd encoder", "FoldSnakeScales"),
        ("odd decoder", "FoldSnakeScales"),
        ("odd encoder", "FoldSnakeOutputScale"),
        ("odd decoder", "FoldSnakeOutputScale"),
        ("wavebeat", "FoldBatchNorm"),
    ],
)
def test_what_a_rule_has_inside_is_there_without_it(golden, name, rule):
    model = golden.graph(name, 17)
    inside = {n for n, why in read_anchors(model).fused.items() if why == rule}
    alone = golden.graph(name, 17, (rule,))
    found, others = set(names_of(alone)), read_anchors(alone).fused
    assert inside
    assert rule not in others.values()
    assert set(names_of(model)) < found
    assert inside == (found - set(names_of(model))) | (
        inside & others.keys()
    )  # another rule may take them in


@pytest.mark.parametrize("name", MODELS)
def test_rules_that_only_lay_things_out_take_nothing_in(golden, name):
    assert {*STANDARD, *LAYOUTS, "ShareRelativePositionBias", "DropIdentityFiLM"}.isdisjoint(
        read_anchors(golden.graph(name, 17)).fused.values()
    )


def by_reason(model):
    """Calls that are not in a graph, by what has them inside."""
    found = {}
    for name, why in read_anchors(model).fused.items():
        found.setdefault(why, set()).add(name)
    return found


def test_what_has_the_calls_of_transformers_inside(golden):
    gates = {f"transformer.layers.{i}.feed_forward.act.gelu" for i in range(2)}
    films = {
        f"transformer.layers.{i}.film_{k}.{n}" for i in range(2) for k in (1, 3) for n in ("gamma", "beta")
    }
    controls = {f"ctrl_encoder.ctrl_encoders.{n}" for n in golden.subject("ctrl").config.ctrl_dims}
    common = {"GatedGELU": gates, "Classifier": {"classifier.layers.0"}}
    assert by_reason(golden.graph("c2f", 17)) == common
    assert by_reason(golden.graph("film", 17)) == {**common, "FiLM": films}
    assert by_reason(golden.graph("ctrl", 17)) == {**common, "ControlEncoder": controls}


def test_what_has_the_calls_of_codecs_inside(golden):
    encoder = by_reason(golden.graph("odd encoder", 17))
    assert encoder.keys() == {"unused", "FoldSnakeScales", "FoldSnakeOutputScale"}
    assert encoder["unused"] == {"quantizer", "quantizer.quantizers.3", "quantizer.quantizers.3.out_proj"}
    unit = "encoder.block.1.block.0.block"
    assert {f"{unit}.1", f"{unit}.2"} <= encoder["FoldSnakeScales"]
    assert {f"{unit}.0", "encoder.block.1.block.3"} <= encoder["FoldSnakeOutputScale"]
    decoder = by_reason(golden.graph("odd decoder", 17))
    assert decoder.keys() == {"DecodeCodes", "FoldSnakeScales", "FoldSnakeOutputScale"}
    assert decoder["DecodeCodes"] == {f"quantizer.quantizers.{i}.out_proj" for i in range(4)}


def test_what_has_the_convolutions_of_a_beat_tracker_inside(golden):
    blocks = len(golden.references("wavebeat").exact.model.blocks)
    inside = {f"blocks.{i}.{conv}" for i in range(blocks) for conv in ("conv1", "res_conv")}
    assert by_reason(golden.graph("wavebeat", 17)) == {"FoldBatchNorm": inside}


@pytest.mark.parametrize("name", MODELS)
def test_outputs_are_what_the_reference_puts_out(golden, recorded, name):
    anchors, record = read_anchors(golden.graph(name, 17)), recorded(name)
    (output,) = anchors.outputs
    names = [n for n, _ in anchors.anchored[output]]
    assert any(
        record.values[n] is record.values[m] for n in names for m in (".", ".#1") if m in record.values
    )


@pytest.mark.parametrize("name", MODELS)
def test_values_stand_in_the_module_that_they_are_of(golden, name):
    for place in read_anchors(golden.graph(name, 17)).places.values():
        own = [n for n, _ in place.stands_for if n[0] not in ".>"]
        assert not own or any(f"{n}#".startswith((f"{place.module}#", f"{place.module}.")) for n in own)
