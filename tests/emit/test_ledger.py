"""Every tensor of every checkpoint is accounted for."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.dialect import vamp
from vampconv.errors import PluginError
from vampconv.plugins import Plugin, load_plugins
from vampconv.reference.random_checkpoint import checkpoint, random_fine_tune, random_state_dict
from vampconv.rewrite import Exact, Rule, Stage

from ..common import manifest


def fates(bundle):
    return {
        c["file"]: dict(Counter(t["fate"] for t in c["tensors"])) for c in manifest(bundle)["checkpoints"]
    }


@pytest.mark.parametrize(
    ("names", "lora", "wanted"),
    [
        (
            ["coarse", "codec"],
            None,
            {"coarse.pth": {"used": 62}, "codec.pth": {"shared": 4, "not requested": 524}},
        ),
        (
            ["c2f", "codec"],
            None,
            {"c2f.pth": {"used": 44}, "codec.pth": {"shared": 14, "not requested": 514}},
        ),
        (
            ["coarse", "c2f", "codec"],
            None,
            {
                "coarse.pth": {"used": 62},
                "c2f.pth": {"used": 44},
                "codec.pth": {"shared": 14, "not requested": 514},
            },
        ),
        (
            ["coarse", "codec"],
            "coarse_lora",
            {
                "coarse.pth": {"used": 32, "overridden": 30},
                "coarse_lora.pth": {"used": 30},
                "codec.pth": {"shared": 4, "not requested": 524},
            },
        ),
        (
            ["coarse_ctrl", "codec"],
            None,
            {"coarse_ctrl.pth": {"used": 35}, "codec.pth": {"shared": 4, "not requested": 524}},
        ),
        (
            ["coarse_film", "codec"],
            None,
            {"coarse_film.pth": {"used": 47}, "codec.pth": {"shared": 4, "not requested": 524}},
        ),
    ],
)
@pytest.mark.parametrize("opset", [17, 23])
def test_every_tensor_has_a_fate(workshop, names, lora, wanted, opset):
    loras = [workshop.golden / f"{lora}.pth"] if lora else []
    bundle = workshop.bundle(*names, loras=loras, opset=opset)
    found = fates(bundle)
    for file, counts in found.items():
        saved = workshop.load(file.removesuffix(".pth"))
        state = saved.get("state_dict", saved)
        assert sum(counts.values()) == len(state)
        names_there = [
            t["name"] for c in manifest(bundle)["checkpoints"] if c["file"] == file for t in c["tensors"]
        ]
        assert names_there == list(state)
    assert list(found) == list(wanted)
    if "coarse_ctrl.pth" in wanted or "coarse_film.pth" in wanted:
        name = next(iter(wanted))
        wanted = wanted | {name: {"used": len(workshop.load(name.removesuffix(".pth"))["state_dict"])}}
    assert found == wanted


@pytest.mark.parametrize("names", [["coarse", "codec"], ["coarse", "c2f", "codec"], ["coarse_film", "codec"]])
def test_the_weights_come_from_exactly_the_used_tensors(workshop, names):
    content = manifest(workshop.bundle(*names))
    sources, uses = set(), set()
    for entry in content["models"].values():
        for row in entry["initializers"]:
            assert row["from"]
            assert len(set(row["from"])) == len(row["from"])
            sources.update((s, f"{entry['file']}:{row['name']}") for s in row["from"])
    for c in content["checkpoints"]:
        for t in c["tensors"]:
            assert ("uses" in t) == (t["fate"] in ("used", "shared"))
            assert ("reason" in t) == (t["fate"] in ("overridden", "dropped", "not requested"))
            uses.update((f"{c['file']}:{t['name']}", use) for use in t.get("uses", []))
    assert sources == uses


def test_overridden_and_idle_tensors_say_why(workshop):
    lora = workshop.golden / "coarse_lora.pth"
    content = manifest(workshop.bundle("coarse", "codec", loras=[lora]))
    by_file = {c["file"]: {t["name"]: t for t in c["tensors"]} for c in content["checkpoints"]}
    for name, entry in by_file["coarse.pth"].items():
        is_pair = name.endswith(("lora_A", "lora_B"))
        assert (entry["fate"] == "overridden") == is_pair
        assert not is_pair or entry["reason"] == "by coarse_lora.pth"
    idle = by_file["codec.pth"]["quantizer.quantizers.4.codebook.weight"]
    assert idle["fate"] == "not requested"
    assert "tables" in idle["reason"]


@pytest.fixture
def with_rule(monkeypatch):
    """Has a conversion use one more rule."""

    def use(rule):
        mine = (Plugin(rules=[rule], name="mine"),)
        monkeypatch.setattr(
            "vampconv.convert.conversion.load_plugins",
            lambda **given: load_plugins(**given | {"plugins": mine}),
        )

    return use


class ForgetTheMaskRow(Rule):
    """The model's own mask row is replaced by a row of the table."""

    stage = Stage.CANONICAL
    claim = Exact()

    @staticmethod
    def before(op, codes, table, mask, codebook):
        return vamp(op).CodebookEmbedding(codes, table, mask, codebook=codebook)

    @staticmethod
    def after(op, codes, table):
        first = op.Gather(table, [0], axis=0)
        return op.Gather(op.Concat(table, first, axis=0), op.Gather(codes, 0, axis=1), axis=0)

    @staticmethod
    def evidence(draw):
        del draw
        return ()


class DropTheMaskRow(ForgetTheMaskRow):
    """The same, and it says so."""

    drops = {"mask": "the loop never asks for it"}  # noqa: RUF012


def test_a_rule_that_loses_a_tensor_fails_the_conversion(workshop, with_rule, tree):
    place = workshop.pair()
    with_rule(ForgetTheMaskRow)
    before = tree(place)
    with pytest.raises(PluginError, match=r"coarse\.pth: tensor embedding\.special\.MASK.*drops") as caught:
        convert(Request([place / "coarse.pth"], place / "out"))
    assert caught.value.code == 7
    with pytest.raises(PluginError, match="MASK"):
        convert(Request([place / "coarse.pth"], place / "out", dry_run=True))
    assert tree(place) == before


def test_a_rule_that_loses_a_lent_table_fails_the_conversion(workshop, with_rule):
    class ForgetTheTable(ForgetTheMaskRow):
        """Every code is the mask."""

        @staticmethod
        def after(op, codes, mask):
            return op.Gather(mask, op.Mul(op.Gather(codes, 0, axis=1), 0), axis=0)

    place = workshop.pair()
    with_rule(ForgetTheTable)
    with pytest.raises(PluginError, match=r"codec\.pth: tensor quantizer\.quantizers\.0\.codebook\.weight"):
        convert(Request([place / "coarse.pth"], place / "out"))


def test_a_rule_that_drops_a_tensor_with_a_reason(workshop, with_rule):
    place = workshop.pair()
    with_rule(DropTheMaskRow)
    convert(Request([place / "coarse.pth"], place / "out"))
    entries = {t["name"]: t for t in manifest(place / "out")["checkpoints"][0]["tensors"]}
    mask = entries["embedding.special.MASK"]
    assert mask["fate"] == "dropped"
    assert mask["reason"] == "DropTheMaskRow: the loop never asks for it"
    assert "uses" not in mask
    assert {e["fate"] for n, e in entries.items() if n != "embedding.special.MASK"} == {"used"}


def test_a_rule_that_drops_what_is_used_elsewhere_does_not_hide_it(workshop, with_rule):
    class DropOnlyInTheFirst(DropTheMaskRow):
        """Codebook 0 only, so that the mask is still needed by the others."""

        @staticmethod
        def require(m):
            yield m["codebook"] == 0, "another codebook"

    place = workshop.pair()
    with_rule(DropOnlyInTheFirst)
    convert(Request([place / "coarse.pth"], place / "out"))
    entries = {t["name"]: t for t in manifest(place / "out")["checkpoints"][0]["tensors"]}
    assert entries["embedding.special.MASK"]["fate"] == "used"


def test_prefixed_names_stay_as_they_are_stored(workshop):
    place = workshop.place()
    workshop.codec(place)
    state = {f"_orig_mod.{n}": t for n, t in random_state_dict(workshop.tiny, 0).items()}
    workshop.save(checkpoint(state, workshop.tiny.to_kwargs()), place / "model.pth")
    tune = {f"_orig_mod.{n}": t for n, t in random_fine_tune(workshop.tiny, 1).items()}
    workshop.save(tune, place / "tune.pth")
    convert(Request([place / "model.pth"], place / "out", loras=[place / "tune.pth"]))
    content = manifest(place / "out")
    model, lora, _ = content["checkpoints"]
    assert [t["name"] for t in model["tensors"]] == list(state)
    assert {t["fate"] for t in lora["tensors"]} == {"used"}
    for row in content["models"]["coarse"]["initializers"]:
        assert "_orig_mod" not in row["name"]


def test_tied_storages_are_two_tensors(workshop):
    place = workshop.place()
    workshop.codec(place)
    state = random_state_dict(workshop.tiny, 0, lora=False)
    state["transformer.layers.0.norm_3.weight"] = state["transformer.layers.0.norm_1.weight"]
    workshop.save(checkpoint(state, workshop.tiny.to_kwargs()), place / "model.pth")
    convert(Request([place / "model.pth"], place / "out"))
    assert fates(place / "out")["model.pth"] == {"used": len(state)}


def test_a_checkpoint_without_pairs(workshop):
    place = workshop.place()
    workshop.codec(place)
    workshop.model(place, lora=False)
    torch.save(random_fine_tune(workshop.tiny, 5), place / "tune.pth")
    convert(Request([place / "coarse.pth"], place / "plain"))
    convert(Request([place / "coarse.pth"], place / "tuned", loras=[place / "tune.pth"]))
    assert set(fates(place / "plain")["coarse.pth"]) == {"used"}
    assert fates(place / "tuned")["tune.pth"] == {"used": 10}
    rules = {name: manifest(place / name)["models"]["coarse"]["rules"] for name in ("plain", "tuned")}
    assert "MergeLoRA" not in rules["plain"]
    assert rules["tuned"]["MergeLoRA"] == 5
