"""The suite of mutations itself: what it makes, how it judges, and that the verifier passes a small share of it.

The whole suite is ``python -m vampconv.bench.mutations --count 0 --clean 200``.
"""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import onnx
import pytest
from click.testing import CliRunner

from vampconv.bench.mutations import clean, suite
from vampconv.bench.mutations.__main__ import main
from vampconv.bench.mutations.editor import Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import FAMILIES, Family
from vampconv.bench.mutations.goldens import MODELS, Goldens
from vampconv.bench.mutations.judge import CRASHED, Judge, is_same_layer, layer_of
from vampconv.bench.mutations.suite import CAUGHT, LEAST, Plan, plans, tally
from vampconv.bench.mutations.tables import as_json, listed, missed
from vampconv.verify import layers
from vampconv.verify.regions import Reading, Regions
from vampconv.verify.result import Case, Tokens, Verdict

from ..common import GOLDEN

SEED = 11
CHEAP = [model for model in MODELS if model.checkpoint != "codec"]
BY_NAME = {model.name: model for model in MODELS}


@pytest.fixture(scope="module")
def goldens():
    with Goldens(GOLDEN) as made:
        yield made


@pytest.fixture(scope="module")
def judges(goldens):
    made = {}

    def get(model):
        if model not in made:
            made[model] = Judge(goldens, model)
        return made[model]

    return get


def family(name, group=""):
    return next(f for f in FAMILIES if f.name == name and group in f.group)


def outcome(judges, chosen, model, seed=0):
    judge = judges(BY_NAME[model])
    mutant = Plan(chosen, BY_NAME[model], seed).make(judge)
    assert mutant is not None, f"{model} has no place for: {chosen.name}"
    return judge.judge(mutant)


def test_there_are_enough_faults_of_every_kind():
    names = [(f.group, f.name) for f in FAMILIES]
    assert len(set(names)) == len(names)
    groups = Counter(f.group for f in FAMILIES)
    assert min(groups.values()) >= 5
    assert groups["earlier exporters"] >= 40
    assert len(plans(0)) > 3 * LEAST
    assert {plan.family for plan in plans(0, 600)} == set(FAMILIES)
    assert [plan.family for plan in plans(3, 40)] == [plan.family for plan in plans(3, 40)]
    assert len(plans(0, len(plans(0)) + 7)) == len(plans(0)) + 7


def test_every_family_has_a_place_somewhere(goldens):
    homeless = set(FAMILIES)
    for model in CHEAP:
        graph, state = goldens.graph(model), goldens.state(model)
        for chosen in [f for f in homeless if model.part in f.parts]:
            try:
                mutant = chosen.mutate(graph, state, model.name, SEED)
            except NotApplicableError:
                continue
            homeless.discard(chosen)
            assert mutant.graph.SerializeToString() != graph.SerializeToString(), mutant
            modules = {module_of(node) for node in graph.graph.node}
            assert modules.issuperset(mutant.modules), mutant
    assert not homeless


def test_a_seed_always_gives_the_same_mutant(goldens):
    for name, model in (
        ("noise of a thousandth", "coarse@17/coarse"),
        ("kernel reversed", "wavebeat_slopes@17/wavebeat"),
    ):
        graph, state = goldens.graph(BY_NAME[model]), goldens.state(BY_NAME[model])
        made = [
            family(name).mutate(graph, state, model, seed).graph.SerializeToString()
            for seed in (4, 4, *range(9))
        ]
        assert made[0] == made[1] == made[2 + 4]
        assert len(set(made)) > 1


EARLIER = [
    (f, next(m for m in CHEAP if m.part in f.parts)) for f in FAMILIES if f.group == "earlier exporters"
]
TWINS = {
    "last of equal rows": "codec_twins@17/encoder",
    "requantisation not applied": "codec_twins@17/decoder",
}
C2F = {"conditioning codebooks first in the logits": "c2f@20/c2f"}


@pytest.mark.parametrize(("chosen", "model"), EARLIER, ids=[f.name.replace(" ", "-") for f, _ in EARLIER])
def test_what_earlier_exporters_did_is_caught(judges, chosen, model):
    found = outcome(judges, chosen, {**TWINS, **C2F}.get(chosen.name, model.name))
    assert found.caught, found.told
    assert not found.equivalent
    assert found.attributed, (found.modules, found.blamed, found.told)


def test_a_share_of_all_faults_is_caught_and_placed(goldens):
    chosen = [p for p in plans(SEED, 60) if p.model in CHEAP and p.family.group != "earlier exporters"][:26]
    outcomes = list(suite.run(goldens, chosen))
    wrong = listed(outcomes)
    assert not wrong["survived"]
    assert not wrong["misplaced"]
    assert tally(outcomes).real >= 20
    assert not missed(outcomes, [], whole=False)


def test_models_without_a_fault_pass(goldens):
    cases = Case(2, 13, 5), Case(1, 2, 6)
    for index, model in enumerate(CHEAP[:2] + CHEAP[4:6] + CHEAP[-2:]):
        found = clean.clean_run(goldens, model, clean.LEVELS[index % 4], clean.THREADS[index % 2], cases)
        assert found.verdict is not Verdict.FAIL, found.told


@pytest.fixture
def blind(monkeypatch):
    """Makes the verifier see nothing wrong: in values, in regions, in tokens."""

    def put(*senses):
        if "values" in senses:
            judged = layers.compare
            passed = lambda *given: _passed(judged(*given))  # noqa: E731
            monkeypatch.setattr(layers, "compare", passed)
        if "regions" in senses:
            monkeypatch.setattr(Regions, "read", lambda _, place: Reading(place, 0.0))
            monkeypatch.setattr(Regions, "read_small", lambda *_: None)
        if "tokens" in senses:
            monkeypatch.setattr(layers, "judge_logits", lambda *_: Tokens(1, 1, 0, 0))

    return put


def _passed(measured):
    return measured.__class__(measured.shape, 0.0, 0.0, measured.bound, Verdict.PASS)


FAULTS = (
    family("scale missing", "attention"),
    family("halves of the gate swapped", "feed-forward"),
    family("noise of a thousandth", "weights"),
    family("bias dropped", "classifier"),
    family("skip dropped", "residual"),
)


def test_a_blind_verifier_is_noticed(judges, blind):
    blind("values", "regions", "tokens")
    outcomes = [outcome(judges, fault, "coarse@17/coarse") for fault in FAULTS]
    assert tally(outcomes).real == len(FAULTS)
    assert tally(outcomes).caught == 0
    assert len(listed(outcomes)["survived"]) == len(FAULTS)
    told = missed(outcomes, [], whole=True)
    assert any(f"{CAUGHT:.0%}" in problem for problem in told)
    assert len(told) == 3


@pytest.mark.parametrize("senses", [("values", "tokens"), ("regions", "tokens")])
def test_one_sense_is_enough_for_what_is_plainly_wrong(judges, blind, senses):
    """Values and regions are looked at each by itself."""
    blind(*senses)
    outcomes = [outcome(judges, fault, "coarse@17/coarse") for fault in FAULTS]
    assert tally(outcomes).caught == len(FAULTS)
    assert tally(outcomes).attributed == len(FAULTS)


def test_a_verifier_that_crashes_has_caught_nothing(judges, monkeypatch):
    monkeypatch.setattr(layers, "compare", lambda *_: [][1])
    found = outcome(judges, family("scale missing", "attention"), "coarse@17/coarse")
    assert not found.caught
    assert CRASHED in found.told


def test_false_alarms_are_counted(goldens, monkeypatch):
    wrong = lambda place: Reading(place, 1.0)  # noqa: E731
    monkeypatch.setattr(Regions, "read", lambda _, place: wrong(place))
    found = clean.clean_run(goldens, BY_NAME["coarse@17/coarse"], "ALL", 1, (Case(1, 8, 0),))
    assert found.verdict is Verdict.FAIL
    assert missed([], [found], whole=False) == ["1 false alarms"]


def _nothing(editor):
    return module_of(editor.graph.node[0])


def _a_billionth(editor):
    name, node = next(editor.weights())
    editor.put(name, (editor.array(name) * (1 + 1e-9)).astype(np.float32))
    return module_of(node)


def _zeros_negated(editor):
    """Batch norms' zeros are zeros of either sign."""
    node = editor.nodes("Relu PRelu")[0]
    editor.before(node, 0, "Add", editor.constant(-0.0))
    return module_of(node)


@pytest.mark.parametrize("put", [_nothing, _a_billionth, _zeros_negated])
def test_what_changes_no_number_is_no_fault(judges, put):
    found = outcome(
        judges, Family("none", "test", frozenset({"wavebeat"}), put), "wavebeat_slopes@17/wavebeat"
    )
    assert found.equivalent
    assert not found.caught
    assert tally([found]).real == 0


def test_a_row_that_no_code_reads_is_a_fault(judges):
    """The search for equivalent mutants asks for every code."""
    rare = Family("rare", "test", frozenset({"coarse"}), family("one row of a table zero").put)
    for seed in range(4):
        found = outcome(judges, rare, "coarse@23/coarse", seed)
        assert found.caught
        assert not found.equivalent


@pytest.mark.parametrize(
    ("path", "layer"),
    [
        ("transformer.layers.2.self_attn.fc", "transformer.layers.2"),
        ("transformer.layers.2", "transformer.layers.2"),
        ("encoder.block.1.block.0.block.3", "encoder.block.1.block.0"),
        ("encoder.block.0", "encoder.block.0"),
        ("quantizer.quantizers.3.in_proj", "quantizer.quantizers.3"),
        ("classifier.layers.0", "classifier.layers.0"),
        ("embedding.out_proj", "embedding"),
        ("", ""),
    ],
)
def test_layers_of_modules(path, layer):
    assert layer_of(path) == layer
    assert is_same_layer(path, path)


def test_only_modules_of_one_layer_are_the_right_ones():
    attention = "transformer.layers.1.self_attn"
    assert is_same_layer(attention, "transformer.layers.1")
    assert is_same_layer(attention, f"{attention}.fc")
    for other in ("transformer.layers.1.norm_1", "transformer.layers.10", "transformer.layers", "", "?"):
        assert not is_same_layer(attention, other)
    assert not is_same_layer("encoder.block.1.block.0.block.3", "encoder.block.1")
    assert not is_same_layer("encoder.block.1.block.0.block.3", "encoder.block.1.block.0.block.1")


def test_editing(goldens):
    clean_graph = goldens.graph(BY_NAME["wavebeat_slopes@17/wavebeat"])
    editor = Editor(clean_graph, {}, np.random.default_rng(0))
    node = editor.nodes("Add")[0]
    value, told = node.output[0], [p.value for p in node.metadata_props if p.key == "vampconv.value"]
    last = editor.after(value, "Mul", editor.constant(2.0))
    editor.before(last, 0, "Neg")
    made = editor.finish()
    onnx.checker.check_model(made)
    assert editor.maker(value).op_type == "Mul"
    assert [p.value for p in editor.maker(value).metadata_props if p.key == "vampconv.value"] == told
    assert not [p for p in node.metadata_props if p.key == "vampconv.value"]
    assert len(made.graph.node) == len(clean_graph.graph.node) + 2
    for wanted in (lambda: editor.node("Erf"), lambda: editor.array("none"), lambda: editor.maker("none")):
        with pytest.raises(NotApplicableError):
            wanted()


def test_the_command_writes_what_it_found(tmp_path):
    arguments = [
        str(GOLDEN),
        "--part",
        "wavebeat",
        "--only",
        "beat tracker: s",
        "--count",
        "3",
        "--clean",
        "1",
    ]
    ran = CliRunner().invoke(main, [*arguments, "--json", str(tmp_path / "o.json")])
    assert ran.exit_code == 0, ran.output
    assert "1 clean runs: 0 failed" in ran.output
    content = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert content["counts"]["all"]["made"] == len(content["mutants"]) == 3
    assert json.loads(as_json([], []))["mutants"] == []
