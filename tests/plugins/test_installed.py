"""Installed plugins: told from metadata, imported only if they are named, held to what they declare."""

from __future__ import annotations

import sys

import pytest

from vampconv.errors import PluginError, UsageError
from vampconv.plugins import Plugin, installed, load_plugins

from ..common import LINE

RULE = """
from vampconv.dialect import vamp
from vampconv.rewrite import Exact, Rule, Sample, Stage

class NAME(Rule):
    stage, claim = Stage.CANONICAL, Exact()
    @staticmethod
    def before(op, x):
        return vamp(op).FiLM(x)
    @staticmethod
    def after(op, x):
        return x
    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6))
"""
RULES = RULE + "\nRULES = (NAME,)\n"
FAMILY = """
from vampconv.frontend.frontend import Draft, Frontend
from vampconv.plugins import Plugin
def recognises(names): return {"toy.weight"} <= set(names)
def read(weights): return []
PLUGIN = Plugin(frontends=(Frontend("toy", ("toy",), recognises, read),))
"""


def names(plugins):
    return [source.name for source in plugins.loaded]


def test_they_are_listed_and_not_imported(announce):
    module = announce("zoo", "1 / 0")
    announce("ape", RULES.replace("NAME", "Ape"), version="2.5")
    found = installed()
    assert [(p.name, p.version) for p in found[1:]] == [("ape", "2.5"), ("zoo", "1.0")]
    assert found[0].is_builtin
    assert (str(found[1]), found[2].module) == ("ape (vampconv-ape 2.5)", module)
    assert names(load_plugins()) == ["builtin"]
    assert module not in sys.modules
    assert names(load_plugins(enable=["ape"])) == ["builtin", "ape"]
    assert names(load_plugins(enable=["ape"], disable=["ape"])) == ["builtin"]


def test_module_level_rules_are_enough(announce):
    announce("ape", RULES.replace("NAME", "Ape"))
    plugins = load_plugins(enable=["ape"])
    assert "Ape" in [r.__name__ for r in plugins.selected]
    assert plugins.source_of(plugins.rules[-1]).version == "1.0"
    assert plugins.selected.index(plugins.rules[-1]) > 0


def test_the_rules_of_a_plugin_are_switched_by_its_name(announce):
    announce("ape", RULES.replace("NAME", "Ape"))
    assert load_plugins(disable=["builtin"]).selected == []
    assert load_plugins(disable=["ape"]).selected == load_plugins().selected
    with pytest.raises(UsageError, match="there is no rule Ape; installed plugins to enable first: ape"):
        _ = load_plugins(enable=["Ape"]).selected


def test_a_name_of_ours_does_not_make_code_run(announce):
    module = announce("builtin", "1 / 0", distribution="vampconv-evil")
    assert names(load_plugins()) == ["builtin"]
    with pytest.raises(
        PluginError, match=r"builtin \(vampconv-evil 1.0\) cannot be imported: ZeroDivisionError"
    ):
        load_plugins(enable=["builtin"])
    assert module not in sys.modules


def test_two_of_one_name(announce):
    announce("ape", RULES.replace("NAME", "Ape"))
    announce("ape", RULES.replace("NAME", "Other"), distribution="monkey", module="plugin_monkey")
    with pytest.raises(
        PluginError, match=r"two plugins are named ape: ape \(monkey 1.0\) and ape \(vampconv-ape"
    ):
        load_plugins(enable=["ape"])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("raise SystemExit(0)", "cannot be imported: SystemExit"),
        ("x = (", "cannot be imported: SyntaxError"),
        ("", "cannot be imported: AttributeError: .*RULES"),
        ("RULES = 7", "cannot be imported: TypeError"),
        ("RULES = (7,)", "`rules` holds 7; give classes of Rule"),
        ("from vampconv.plugins import Plugin\nPLUGIN = Plugin(rules=7)", "`rules` is 7"),
        ("from vampconv.plugins import Plugin\nPLUGIN = Plugin(frontends=['x'])", "`frontends` holds 'x'"),
        ("from vampconv.plugins import Plugin\nPLUGIN = Plugin(targets=['x'])", "`targets` holds 'x'"),
        (
            "from vampconv.plugins import Plugin\nPLUGIN = Plugin(subjects={'x': 'y'})",
            "the subject of x is 'y'",
        ),
        ("from vampconv.dialect import Op\nclass RMSNorm(Op): ...", "op vamp.RMSNorm is already defined"),
        (
            "from vampconv.dialect import Op\nfrom vampconv.plugins import Plugin\nclass Bare(Op): ...\n"
            "PLUGIN = Plugin(ops=[Bare])",
            "op Bare lacks shape, meaning",
        ),
    ],
)
def test_what_a_plugin_declares_is_checked(announce, vampconv, workshop, tmp_path, text, told):
    announce("bad", text)
    with pytest.raises(PluginError, match=told):
        load_plugins(enable=["bad"])
    place = workshop.pair()
    ran = vampconv("convert", place / "coarse.pth", "--enable", "bad", "-o", tmp_path / "out")
    assert ran.code == 7
    assert LINE.fullmatch(ran.err), ran.err
    assert "bad (vampconv-bad 1.0)" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def toy(workshop, tmp_path):
    import torch

    return workshop.save({"toy.weight": torch.ones(2)}, tmp_path / "toy.pth")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (FAMILY.replace("return {", "return 1 / 0 or {"), "its frontend of a toy raised ZeroDivisionError"),
        (
            FAMILY.replace("return []", "raise KeyError('size')"),
            "its frontend of a toy raised KeyError: 'size'",
        ),
        (
            FAMILY.replace("return []", "return [Draft('toy', {}, lambda *, opset: 1 / 0)]"),
            "its frontend of a toy raised ZeroDivisionError",
        ),
        (FAMILY.replace('("toy",)', '("coarse",)'), "two plugins bring the part of a bundle 'coarse'"),
        (
            FAMILY.replace('"toy", (', '"LAC codec", ('),
            "two plugins bring the kind of checkpoint 'LAC codec'",
        ),
        (
            FAMILY.replace(
                "frontends", "targets=(__import__('vampconv').rewrite.target.PORTABLE,), frontends"
            ),
            "two plugins bring the target 'portable'",
        ),
    ],
)
def test_frontends_that_are_broken(announce, vampconv, toy, tmp_path, text, told):
    announce("bad", text)
    ran = vampconv("convert", toy, "--enable", "bad", "-o", tmp_path / "out")
    assert ran.code == 7, ran.err
    assert LINE.fullmatch(ran.err), ran.err
    assert told in ran.err
    assert not (tmp_path / "out").exists()


def test_a_checkpoint_that_two_families_claim(announce, vampconv, workshop, tmp_path):
    announce("bad", FAMILY.replace('{"toy.weight"} <= set(names)', "True"))
    place = workshop.pair()
    ran = vampconv("convert", place / "coarse.pth", "--enable", "bad", "-o", tmp_path / "out")
    assert ran.code == 7
    assert "recognised as a VampNet transformer and a toy" in ran.err


def test_directories_are_told_apart(tmp_path):
    for place in ("a", "b"):
        (tmp_path / place / "rules").mkdir(parents=True)
        (tmp_path / place / "rules" / "own.py").write_text(RULE.replace("NAME", f"In{place.upper()}"))
    directories = [tmp_path / "a" / "rules", tmp_path / "b" / "rules"]
    plugins = load_plugins(directories=[*directories, directories[0]])
    assert names(plugins) == ["builtin", "rules", str(directories[1])]
    first, second = plugins.loaded[1].as_json(), plugins.loaded[2].as_json()
    assert first["version"].startswith("sha256:")
    assert first["version"] != second["version"]


def test_in_process(announce):
    announce("ape", RULES.replace("NAME", "Ape"))
    (rule,) = load_plugins(enable=["ape"]).loaded[1].plugin.rules
    plugins = load_plugins(plugins=[Plugin(rules=[rule], name="mine")])
    assert names(plugins) == ["builtin", "mine"]
    assert rule in plugins.selected
    with pytest.raises(PluginError, match="two plugins are named mine"):
        load_plugins(plugins=[Plugin(name="mine"), Plugin(name="mine")])
