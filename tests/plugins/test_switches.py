"""The plugin door: installed packages, directories of rule files, and switching rules by name."""

from __future__ import annotations

import sys
import textwrap

import numpy as np
import pytest

from vampconv.errors import PluginError, UsageError
from vampconv.plugins import builtin_rules, directory_rules, select_rules
from vampconv.rewrite import Stage
from vampconv.rewrite.audit import audit
from vampconv.rewrite.engine import apply_rules
from vampconv.rewrite.execute import load

from ..rewrite.toy import DoubleTwice, DropFiLM, Graph, rule, types

SIGMOID_GATE = textwrap.dedent('''
    """A gate of my own."""
    from vampconv.dialect import vamp
    from vampconv.rewrite import Close, Rule, Sample, Stage


    class SigmoidGate(Rule):
        """``GatedGELU`` with the sigmoid that approximates GELU."""

        stage, claim = Stage.LOWER, Close(rtol=0.05, atol=0.05)

        @staticmethod
        def before(op, x):
            return vamp(op).GatedGELU(x)

        @staticmethod
        def after(op, x, m):
            half = m.size("x", -1) // 2
            value, gate = op.Split(x, [half, half], axis=-1, outputs=2)
            return op.Mul(value, op.Mul(gate, op.Sigmoid(op.Mul(gate, 1.702))))

        @staticmethod
        def evidence(draw):
            yield Sample(x=draw("batch", "time", 8))
''')


@pytest.fixture
def no_modules_left():
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if name.startswith("vampconv_rules_from"):
            del sys.modules[name]


@pytest.fixture
def plugin(tmp_path, no_modules_left):  # noqa: ARG001
    def write(**files):
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(text)
        return tmp_path

    return write


def test_a_rule_file_is_read(plugin):
    (mine,) = directory_rules(plugin(gate=SIGMOID_GATE))
    assert mine.__name__ == "SigmoidGate"
    assert audit(mine).compared > 0


def test_rules_come_by_file_name_and_place_without_what_a_file_imports(plugin):
    two = SIGMOID_GATE.replace("SigmoidGate", "Zebra") + SIGMOID_GATE.replace("SigmoidGate", "Ant")
    imports = "from vampconv_rules.film import DropIdentityFiLM\n" + SIGMOID_GATE
    found = directory_rules(plugin(b=imports, a=two))
    assert [r.__name__ for r in found] == ["Zebra", "Ant", "SigmoidGate"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class Broken(:", "broken.py: SyntaxError"),
        ("import no_such_module", "broken.py: ModuleNotFoundError: No module named 'no_such_module'"),
        ("1 / 0", "broken.py: ZeroDivisionError"),
        ("raise KeyError('x')", "broken.py: KeyError"),
    ],
)
def test_a_file_that_cannot_be_imported_is_named(plugin, text, message):
    with pytest.raises(PluginError, match=message) as raised:
        directory_rules(plugin(broken=text))
    assert raised.value.code == 7
    assert "\n" not in raised.value.line()


def test_a_directory_without_rules_is_a_usage_error(tmp_path):
    (tmp_path / "notes.txt").write_text("nothing")
    for directory in (tmp_path, tmp_path / "missing", tmp_path / "notes.txt"):
        with pytest.raises(UsageError, match="no Python files there"):
            directory_rules(directory)


def names(rules):
    return [r.__name__ for r in rules]


def test_rules_are_ordered_by_stage_and_then_as_given():
    late = rule("Late", DropFiLM.before, DropFiLM.after, stage=Stage.TARGET)
    early = rule("Early", DropFiLM.before, DropFiLM.after)
    assert names(select_rules([DoubleTwice, late, early, DropFiLM])) == [
        "Early",
        "DropFiLM",
        "DoubleTwice",
        "Late",
    ]


def test_rules_are_switched_by_name():
    off = rule("Off", DropFiLM.before, DropFiLM.after, default=False)
    rules = [off, DropFiLM, DoubleTwice]
    assert names(select_rules(rules)) == ["DropFiLM", "DoubleTwice"]
    assert names(select_rules(rules, enable=["Off"])) == ["Off", "DropFiLM", "DoubleTwice"]
    assert names(select_rules(rules, disable=["DropFiLM"])) == ["DoubleTwice"]
    assert names(select_rules(rules, enable=["Off"], disable=["Off"])) == ["DropFiLM", "DoubleTwice"]
    assert names(select_rules([*rules, DropFiLM])) == names(select_rules(rules))


@pytest.mark.parametrize("switch", ["enable", "disable"])
def test_an_unknown_name_is_refused_with_the_nearest(switch):
    with pytest.raises(UsageError, match=r"there is no rule DropFilm; did you mean DropFiLM\?"):
        select_rules([DropFiLM, DoubleTwice], **{switch: ["DropFilm"]})
    with pytest.raises(UsageError, match="there is no rule Nothing; known: DropFiLM, DoubleTwice"):
        select_rules([DropFiLM, DoubleTwice], **{switch: ["Nothing"]})


def test_two_rules_of_one_name_clash(plugin):
    other = rule("DropFiLM", DropFiLM.before, DropFiLM.after, __module__="someone_elses")
    with pytest.raises(PluginError, match=r"two rules are named DropFiLM .*toy and someone_elses"):
        select_rules([DropFiLM, other])
    text = SIGMOID_GATE.replace("SigmoidGate", "ClassicGatedGELU")
    with pytest.raises(PluginError, match=r"two rules are named ClassicGatedGELU .*mine.py"):
        select_rules([*builtin_rules(), *directory_rules(plugin(mine=text))])


def test_a_rule_that_lacks_a_piece_is_refused():
    for piece in ("stage", "claim", "before", "after", "evidence"):
        body = {
            k: v for k, v in vars(DropFiLM).items() if k in ("stage", "claim", "before", "after", "evidence")
        }
        del body[piece]
        lacking = type("Lacking", DropFiLM.__mro__[1:2], body)
        with pytest.raises(PluginError, match=f"rule Lacking .*lacks {piece}"):
            select_rules([lacking])


def test_a_rule_of_no_stage_is_refused():
    with pytest.raises(PluginError, match=r"rule Odd .*has the stage 'lower'; give one of Stage\.RAISE"):
        select_rules([rule("Odd", DropFiLM.before, DropFiLM.after, stage="lower")])


def lowering(rules, **switches):
    """Those of the stage that are on: rules of all stages at once would raise what others lower."""
    return [r for r in select_rules(rules, **switches) if r.stage is Stage.LOWER]


def gate_model():
    graph = Graph()
    return graph.model(graph.vamp("ffn").GatedGELU(graph.input("x", (2, 3, 8))))


def test_a_third_party_rule_takes_the_place_of_a_disabled_one(plugin):
    rules = [*builtin_rules(), *directory_rules(plugin(gate=SIGMOID_GATE))]
    model = gate_model()
    assert apply_rules(model, lowering(rules), opset=17).counts() == {"ClassicGatedGELU": 1}
    model = gate_model()
    chosen = lowering(rules, disable=["ClassicGatedGELU", "StandardGatedGELU"])
    assert apply_rules(model, chosen, opset=17).counts() == {"SigmoidGate": 1}
    assert types(model) == ["Split", "Mul", "Sigmoid", "Mul", "Mul"]
    x = np.linspace(-3, 3, 48, dtype=np.float32).reshape(2, 3, 8)
    value, gate = x[..., :4], x[..., 4:]
    np.testing.assert_allclose(
        load(model)({"x": x})[0], value * gate / (1 + np.exp(-1.702 * gate)), rtol=1e-5
    )
