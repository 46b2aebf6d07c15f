"""Rules that break their contract: one line with exit 7 that names rule, node and cause; nothing is written."""

from __future__ import annotations

import re
import shutil
import textwrap

import pytest

from ..common import LINE

HEAD = """
from vampconv.dialect import vamp
from vampconv.rewrite import Close, Rule, Sample, Stage

class Base(Rule):
    stage, claim = Stage.LOWER, Close(1e-5, 1e-6)
    @staticmethod
    def before(op, x, weight, eps):
        return vamp(op).RMSNorm(x, weight, eps=eps)
    @staticmethod
    def after(op, x, weight, eps, m):
        mean = op.ReduceMean(op.Pow(x, 2.0), axes=[-1], keepdims=1)
        return op.Mul(op.Mul(x, op.Reciprocal(op.Sqrt(op.Add(mean, eps)))), weight)
    @staticmethod
    def evidence(draw):
        yield Sample(x=draw("batch", "time", 6), weight=draw(6), eps=1e-6)
"""
NODE = r"at vamp\.RMSNorm /transformer/\S*/RMSNorm \(module transformer\.\S+\): "
BROKEN = {
    "name": ("class ClassicRMSNorm(Base): ...", r"two rules are named ClassicRMSNorm \(in .*own\.py"),
    "stage": (
        "class Mine(Base): stage = 'lower'",
        r"rule Mine \(in .*own\.py\) has the stage 'lower'; give one of .*Stage\.CANONICAL",
    ),
    "piece": ("class Mine(Rule): stage = Stage.LOWER", r"rule Mine .* lacks claim, before, after, evidence"),
    "cycle": (
        """
        class Mine(Base, after="Yours"): ...
        class Yours(Base, after=("ClassicRMSNorm", "Theirs")): ...
        class Theirs(Base, after="Mine"): ...
        """,
        r"the order of rules goes round in a circle: Mine after Yours after Theirs after Mine; ",
    ),
    "stages": (
        "class Mine(Base, after='Late'): ...\nclass Late(Base): stage = Stage.TARGET",
        r"rule Late \(stage target\) is to run before Mine \(stage lower\), whose stage comes first",
    ),
    "order": ("class Mine(Base, after=3): ...", r"own\.py: TypeError"),
    "endless": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x, weight, eps):
                return vamp(op).RMSNorm(x, weight, eps=eps)
        """,
        r"rule Mine fires without end: stopped after the budget of \d+ firings, at vamp\.RMSNorm /tran\S+ \(module ",
    ),
    "pattern": (
        """
        class Mine(Base):
            @staticmethod
            def before(op, x):
                raise RuntimeError("no pattern")
        """,
        r"rule Mine \(in .*own\.py\): its pattern cannot be built, `before` raised RuntimeError: no pattern",
    ),
    "guard": (
        """
        class Mine(Base):
            @staticmethod
            def require(m):
                yield m["gain"] > 0, "positive"
        """,
        rf"rule Mine {NODE}its `require` raised KeyError: 'gain'",
    ),
    "replacement": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x):
                return x.no_such_thing
        """,
        rf"rule Mine {NODE}its `after` raised AttributeError",
    ),
    "dtype": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x):
                return op.Cast(x, to=11)
        """,
        rf"rule Mine {NODE}its replacement changes the dtype from float to double",
    ),
    "rank": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x):
                return op.Unsqueeze(x, [0])
        """,
        rf"rule Mine {NODE}its replacement changes the rank from 3 to 4",
    ),
    "size": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x):
                return op.Concat(x, x, axis=-1)
        """,
        rf"rule Mine {NODE}its replacement changes the size on axis 2 from \d+ to \d+",
    ),
    "types": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x):
                return op.Add(x, 1)
        """,
        rf"rule Mine {NODE}its replacement is ill-typed: .*Add",
    ),
    "illegal": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x, weight, eps):
                return vamp(op).FiLM(x)
        """,
        r"stage lower leaves vamp\.FiLM /transformer/\S+ \(module transformer\S+\), made by rule Mine; ",
    ),
    "foreign": (
        """
        class Mine(Base):
            @staticmethod
            def after(op, x, weight, eps):
                return op.emit("com.example", "Norm", (x,), {}, 1)
        """,
        r"stage lower leaves com\.example\.Norm /transformer/\S+ \(module transformer\S+\), made by rule Mine; ",
    ),
}


@pytest.fixture
def place(workshop, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workshop.model(tmp_path)
    workshop.codec(tmp_path)
    (tmp_path / "mine").mkdir()
    return tmp_path


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_rule_is_named_and_nothing_is_written(vampconv, workshop, place, tree, case):
    text, told = BROKEN[case]
    (place / "mine" / "own.py").write_text(HEAD + textwrap.dedent(text))
    shutil.copytree(workshop.bundle("coarse", "codec"), place / "out")
    before = tree(place)
    off = [] if case == "name" else ["--disable", "ClassicRMSNorm"]
    ran = vampconv(
        "convert", "coarse.pth", "-o", "out", "--force", "--rules", "mine", "--disable", "Base", *off
    )
    assert (ran.code, ran.out) == (7, ""), ran.err
    assert LINE.fullmatch(ran.err), ran.err
    assert re.search(told, ran.err), ran.err
    assert {k: v for k, v in tree(place).items() if "__pycache__" not in str(k)} == before


def test_an_order_against_rules_that_are_not_there_is_fine(vampconv, place):
    text = 'class Mine(Base, before="ClassicRMSNorm", after=("NotThere", "NorThis")): ...'
    (place / "mine" / "own.py").write_text(HEAD + text)
    ran = vampconv("convert", "coarse.pth", "--rules", "mine", "--disable", "Base")
    assert ran.code == 0, ran.err
    assert "Mine × 3" in ran.out
    assert "ClassicRMSNorm" not in ran.out
