"""The order of rules: by stage, as declared, and else as they were given; the same whichever are on."""

from __future__ import annotations

import random

import pytest

from vampconv.errors import PluginError
from vampconv.rewrite import Rule, Stage
from vampconv.rewrite.select import in_order, select_rules

from .toy import DropFiLM, rule


def declared(name, *, after=(), before=(), stage=Stage.CANONICAL, default=True):
    made = rule(name, DropFiLM.before, DropFiLM.after, stage=stage, default=default)
    made.runs_after, made.runs_before = tuple(after), tuple(before)
    return made


def names(rules):
    return [r.__name__ for r in rules]


def test_class_arguments_say_it():
    class Mine(Rule, after="A", before=("B", "C")):
        """Says it."""

    class Heir(Mine, before="D"):
        """Says more."""

    assert (Mine.runs_after, Mine.runs_before) == (("A",), ("B", "C"))
    assert (Heir.runs_after, Heir.runs_before) == (("A",), ("D",))
    assert Rule.runs_after == Rule.runs_before == ()


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([("A",), ("B",), ("C",)], "ABC"),
        ([("A",), ("B",), ("C", (), "A")], "CAB"),
        ([("A",), ("B",), ("C", (), "B")], "ACB"),
        ([("A", "C"), ("B",), ("C",)], "CAB"),
        ([("A", "C"), ("B",), ("C", "D"), ("D",)], "DCAB"),
        ([("A", "Z"), ("B", (), "Y"), ("C",)], "ABC"),
        ([("A", "BC"), ("B", "C"), ("C",)], "CBA"),
    ],
)
def test_a_rule_moves_forward_only_where_another_needs_it(given, wanted):
    rules = [declared(name, after=(*rest, "", "")[0], before=(*rest, "", "")[1]) for name, *rest in given]
    assert "".join(names(in_order(rules))) == wanted


def test_every_declaration_holds_and_the_order_is_the_same_whichever_are_on():
    for seed in range(40):
        draw = random.Random(seed)
        letters = draw.sample("ABCDEFGHIJ", 10)
        hidden = draw.sample(letters, 10)
        rules = []
        for name in letters:
            place = hidden.index(name)
            after = draw.sample(hidden[:place], min(place, draw.randrange(3)))
            before = draw.sample(hidden[place + 1 :], min(9 - place, draw.randrange(2)))
            rules.append(declared(name, after=after, before=before))
        ordered = names(select_rules(rules))
        for r in rules:
            assert all(ordered.index(n) < ordered.index(r.__name__) for n in r.runs_after)
            assert all(ordered.index(n) > ordered.index(r.__name__) for n in r.runs_before)
        off = draw.sample(letters, 4)
        assert names(select_rules(rules, disable=off)) == [n for n in ordered if n not in off]


def test_stages_come_first():
    late = declared("Late", before="A", stage=Stage.TARGET)
    early = declared("A", before="Last", stage=Stage.CANONICAL)
    last = declared("Last", after="A", stage=Stage.LOWER)
    with pytest.raises(
        PluginError, match=r"rule Late \(stage target\) is to run before A \(stage canonical\)"
    ):
        in_order([late, early])
    assert names(in_order([last, early])) == ["A", "Last"]


def test_circles_are_named():
    rules = [
        declared("A", after="B"),
        declared("B", after="C"),
        declared("C", before="D"),
        declared("D", before="C"),
    ]
    with pytest.raises(PluginError, match=r"round in a circle: C after D after C;") as raised:
        in_order(rules)
    assert raised.value.code == 7
    with pytest.raises(PluginError, match="A after A"):
        in_order([declared("A", after="A")])
