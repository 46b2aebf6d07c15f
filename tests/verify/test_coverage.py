"""The account of a graph and its reference: whatever is neither compared nor explained is a failure."""

from __future__ import annotations

import pytest
import torch

from vampconv.verify.anchors import read_anchors
from vampconv.verify.coverage import LEAST, cover, shortcomings, unfounded
from vampconv.verify.result import Coverage, Explained
from vampconv.verify.truth import Record

from .tagged import graph, node, untag


@pytest.fixture
def record():
    """Calls of ``a``, of ``b`` in which ``b.last`` comes last, of ``c``, which passes its input on, and of ``d``."""
    made = Record()
    a, b, d = (torch.full((2,), float(i)) for i in range(3))
    for path, taken, given in (("a", b, a), ("b.last", a, b), ("b", a, b), ("c", b, b), ("d", b, d)):
        made.put(f">{path}", taken)
        made.put(path, given)
        made.called(path, taken, given)
    made.values["."] = d
    return made


def whole(**last):
    """A graph of four values, of which ``inner`` is in no reference."""
    return graph(
        node("Relu", "x", "one", "a"),
        node("Relu", "one", "inner"),
        node("Relu", "inner", "two", "b.last"),
        node("Relu", "two", "y", **{"value": "d .", **last}),
    )


def account(model, record, without=(), swallowed=None):
    anchors = read_anchors(model)
    gone = {*without, *(swallowed or ())}
    return cover(anchors, [n for n in anchors.places if n not in gone], swallowed or {}, record)


def test_all_values_and_calls_are_accounted_for(record):
    found = account(whole(), record)
    assert found == Coverage(
        values=4,
        values_compared=4,
        values_explained=(),
        calls=5,
        calls_compared=3,
        calls_explained=(
            Explained("b", "puts out the same tensor as the module inside it"),
            Explained("c", "passes its input on"),
        ),
        unaccounted=(),
    )
    assert found.share == 1
    assert shortcomings(found) == []


def test_names_inside_and_unused_are_explained(record):
    found = account(whole(fused="a=Rule b.last=unused", value="d ."), record)
    assert found.unaccounted == ()
    model = untag(untag(whole(fused="a=Rule b.last=unused"), "one"), "two")
    found = account(model, record)
    assert found.unaccounted == ()
    assert Explained("a", "inside Rule") in found.calls_explained
    assert Explained("b.last", "not needed for the output") in found.calls_explained


@pytest.mark.parametrize(("value", "call"), [("one", "a"), ("two", "b.last")])
def test_a_removed_tag_fails(record, value, call):
    found = account(untag(whole(), value), record)
    lost = ("call b.last", "call b") if call == "b.last" else (f"call {call}",)
    assert found.unaccounted == lost
    (problem,) = shortcomings(found)
    assert problem.startswith(f"call {call}")
    assert problem.endswith("is neither compared nor explained")


def test_a_call_that_the_graph_has_not_fails(record):
    record.calls.append("more")
    assert account(whole(), record).unaccounted == ("call more",)


@pytest.mark.parametrize("value", ["one", "inner", "two", "y"])
def test_a_value_that_is_not_compared_fails(record, value):
    found = account(whole(), record, without=[value])
    assert f"value {value}" in found.unaccounted
    assert shortcomings(found)


def test_a_call_whose_value_is_not_compared_fails(record):
    assert "call a" in account(whole(), record, without=["one"]).unaccounted


def test_what_a_runtime_swallowed_is_explained_with_the_call_that_it_is(record):
    found = account(whole(), record, swallowed={"one": "fused into Gemm of 'two'", "elsewhere": "nothing"})
    assert found.values_explained == (Explained("one", "fused into Gemm of 'two'"),)
    assert Explained("a", "fused into Gemm of 'two'") in found.calls_explained
    assert found.unaccounted == ()
    assert (found.values_compared, found.calls_compared) == (3, 2)


def test_what_was_swallowed_in_one_run_and_compared_in_another_is_compared(record):
    anchors = read_anchors(whole())
    found = cover(anchors, anchors.places, {"one": "fused"}, record)
    assert (found.values_compared, found.values_explained) == (4, ())


def test_a_name_that_only_another_value_explains_is_not_compared(record):
    """A module inside which puts out the same tensor explains one around it only if it is accounted for itself."""
    found = account(untag(whole(), "two"), record, swallowed={"inner": "fused"})
    assert "call b" in found.unaccounted


def added(value="", rules=""):
    """The graph with a node after all that the reference has."""
    model = whole()
    model.graph.node[-1].output[0] = "before"
    model.graph.node.append(node("Neg", "before", "y", value, rules=rules))
    return model


@pytest.mark.parametrize("rules", ["", "AnyRule"])
def test_a_node_added_behind_the_last_value_of_the_reference_fails(record, rules):
    """Its truth would be the graph itself: whatever it computes, it would be right."""
    found = account(added(rules=rules), record)
    assert found.unaccounted == ("output y",)
    assert shortcomings(found) == ["output y is neither compared nor explained"]


@pytest.mark.parametrize("value", ["a", "b.last", ">d", "nothing", ">c"])
def test_an_output_that_is_said_to_be_another_value_fails(record, value):
    assert "output y" in account(added(value), record).unaccounted


def test_an_output_that_is_an_input_fails(record):
    model = whole()
    model.graph.output[0].name = "x"
    assert account(model, record).unaccounted == ("output x",)


@pytest.mark.parametrize("value", ["d", ".", "d .", "a@ ."])
def test_an_output_by_any_name_of_what_the_reference_puts_out(record, value):
    assert unfounded(read_anchors(whole(value=value)), record) == []


def test_each_of_several_outputs_is_one_of_the_reference(record):
    two = graph(node("Relu", "x", "y", "a .#1"), node("Relu", "y", "z", "d ."), outputs="y z")
    record.values[".#1"] = record.values["a"]
    assert unfounded(read_anchors(two), record) == []
    assert unfounded(read_anchors(untag(two, "y")), record) == ["y"]


def test_a_record_without_outputs_founds_none(record):
    del record.values["."]
    assert unfounded(read_anchors(whole()), record) == ["y"]


def test_most_values_must_be_compared(record):
    def share(compared, of):
        return Coverage(of, compared, (), 1, 1, (), ())

    assert LEAST == 0.95
    assert shortcomings(share(95, 100)) == []
    assert shortcomings(share(94, 100)) == ["only 94.0% of the values were compared"]
    assert shortcomings(share(1, 100)) == ["only 1.0% of the values were compared"]
    assert shortcomings(share(0, 100)) == ["nothing was compared"]
    assert shortcomings(share(0, 0)) == ["nothing was compared"]
    found = account(whole(), record, swallowed={"inner": "fused"})
    assert found.share == 0.75
    assert shortcomings(found) == ["only 75.0% of the values were compared"]


def test_nothing_compared_fails(record):
    found = cover(read_anchors(whole()), [], {}, record)
    assert found.share == 0
    assert shortcomings(found)[0] == "nothing was compared"
    assert len(found.unaccounted) == 4 + 4  # all values, all calls but the one that passes its input on
    everything = dict.fromkeys(read_anchors(whole()).places, "fused")
    assert shortcomings(cover(read_anchors(whole()), [], everything, record)) == ["nothing was compared"]


def test_an_empty_graph_and_a_model_without_calls_fail():
    found = account(graph(outputs="y"), Record())
    assert found.unaccounted == ("output y",)
    assert shortcomings(found)[0] == "nothing was compared"


def test_what_was_compared_must_be_of_the_graph(record):
    found = cover(read_anchors(whole()), ["elsewhere"], {}, record)
    assert found.values_compared == 0


def test_shortcomings_count_what_is_lost(record):
    (problem,) = shortcomings(account(untag(untag(whole(), "one"), "two"), record))
    assert problem == "call a and 2 more is neither compared nor explained"
