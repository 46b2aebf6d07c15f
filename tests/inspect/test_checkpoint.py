"""``vampconv inspect CKPT``."""

from __future__ import annotations

import hashlib
import json
import re

import numpy as np
import pytest
import torch

from vampconv.inspect.statistics import Statistics
from vampconv.reference.random_checkpoint import checkpoint, random_state_dict

from ..common import LINE

KINDS = {
    "coarse": "VampNet transformer",
    "c2f": "VampNet transformer",
    "coarse_ctrl": "VampNet transformer",
    "coarse_film": "VampNet transformer",
    "coarse_lora": "LoRA fine-tune",
    "codec": "LAC codec",
    "codec_odd": "LAC codec",
    "wavebeat": "WaveBeat beat tracker",
}
ARCHITECTURES = {
    "coarse": "coarse: 3 layers, 4 heads, dim 48, 4 codebooks of 64",
    "c2f": "c2f: 2 layers, 2 heads, dim 32, 14 codebooks of 64, 4 condition",
    "coarse_ctrl": "control rmsq16 ",
    "coarse_film": "FiLM 10",
    "codec": "14 codebooks of 64",
    "codec_odd": "4 codebooks of 32",
}


def facts(vampconv, path):
    ran = vampconv("inspect", path, "--json")
    assert (ran.code, ran.err) == (0, "")
    return json.loads(ran.out, parse_constant=pytest.fail)


@pytest.mark.parametrize("name", KINDS)
def test_every_golden_checkpoint(vampconv, workshop, tree, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    path = workshop.golden / f"{name}.pth"
    found = facts(vampconv, path)
    saved = workshop.load(name)
    state = saved.get("state_dict", saved)
    assert found["file"] == f"{name}.pth"
    assert found["kind"] == KINDS[name]
    assert found["format"] == "torch.save"
    assert found["bytes"] == path.stat().st_size
    assert found["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found["parameters"] == sum(t.numel() for t in state.values())
    assert [t["name"] for t in found["tensors"]] == list(state)
    for row in found["tensors"]:
        array = state[row["name"]].numpy()
        assert (row["shape"], row["dtype"]) == (list(array.shape), str(array.dtype))
        wide = array.astype(np.float64)
        numbers = (wide.min(), wide.max(), wide.mean(), wide.std())
        assert [row["statistics"][k] for k in ("min", "max", "mean", "std")] == pytest.approx(
            numbers, rel=1e-9
        )
        assert row["statistics"]["non_finite"] == 0
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("name", KINDS)
def test_text(vampconv, workshop, name):
    ran = vampconv("inspect", workshop.golden / f"{name}.pth")
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith(f"{name}.pth: {KINDS[name]}, torch.save\n")
    saved = workshop.load(name)
    state = saved.get("state_dict", saved)
    assert f"in {len(state)} tensors" in ran.out
    assert ARCHITECTURES.get(name, "") in ran.out
    assert "cannot be converted" not in ran.out
    flat = ran.out.replace("\n", "")
    assert all(tensor in flat for tensor in list(state)[:5])


@pytest.mark.parametrize("name", ["coarse", "c2f", "coarse_ctrl", "coarse_film"])
def test_the_graph_of_a_transformer_is_that_of_the_conversion(vampconv, workshop, name):
    found = facts(vampconv, workshop.golden / f"{name}.pth")
    content = json.loads((workshop.bundle(name, "codec") / "vampconv.json").read_text())
    (model,) = content["models"].values()
    assert found["graph"]["nodes"] == model["nodes"]
    assert found["graph"]["rules"] == model["rules"]
    kind, architecture = found["architecture"].pop("kind"), found["architecture"]
    assert kind in content["models"]
    assert architecture == model["architecture"]
    assert {t["fate"] for t in found["tensors"]} == {"used"}


def test_fates(vampconv, workshop):
    codec = facts(vampconv, workshop.golden / "codec.pth")
    assert {t["fate"] for t in codec["tensors"]} == {"used"}
    assert codec["architecture"]["encoder_rates"] == [2, 4, 8, 12]
    assert codec["graph"]["rules"]["GatherCodes"] == 1
    beats = facts(vampconv, workshop.golden / "wavebeat.pth")
    dropped = [t["name"] for t in beats["tensors"] if t["fate"] == "dropped"]
    assert len(dropped) == 16
    assert all(name.endswith("num_batches_tracked") for name in dropped)
    assert (codec["codebooks"], codec["vocab_size"]) == (14, 64)
    assert (codec["sample_rate"], codec["hop"]) == (44100, 768)
    lora = facts(vampconv, workshop.golden / "coarse_lora.pth")
    assert {t["fate"] for t in lora["tensors"]} == {"used over a model"}


def test_values_that_are_not_finite_are_counted(vampconv, workshop, tmp_path):
    state = random_state_dict(workshop.tiny, 0)
    state["embedding.special.MASK"] = torch.tensor(
        [[1.0, float("nan"), float("inf")], [-3.0, 2.0, float("-inf")]]
    )
    state["transformer.norm.weight"][:] = float("nan")
    workshop.save(checkpoint(state, workshop.tiny.to_kwargs()), tmp_path / "a.pth")
    rows = {t["name"]: t["statistics"] for t in facts(vampconv, tmp_path / "a.pth")["tensors"]}
    assert rows["embedding.special.MASK"] == {
        "min": -3.0,
        "max": 2.0,
        "mean": 0.0,
        "std": pytest.approx(np.std([1, -3, 2])),
        "non_finite": 3,
    }
    nothing = dict.fromkeys(("min", "max", "mean", "std"))
    assert rows["transformer.norm.weight"] == {**nothing, "non_finite": 6}
    out = vampconv("inspect", tmp_path / "a.pth").out
    assert re.search(r"transformer\.norm\.weight .*│ - +│ - +│ - +│ - +│ 6 ", out)


@pytest.mark.parametrize(
    ("array", "wanted"),
    [
        (np.zeros((0, 3), np.float32), Statistics(None, None, None, None, 0)),
        (np.array(2.5, np.float16), Statistics(2.5, 2.5, 2.5, 0.0, 0)),
        (np.array([1, 3], np.int64), Statistics(1.0, 3.0, 2.0, 1.0, 0)),
        (np.array([True, False]), Statistics(0.0, 1.0, 0.5, 0.5, 0)),
        (np.array([3 + 4j, 0]), Statistics(0.0, 5.0, 2.5, 2.5, 0)),
        (np.array([1e300, -1e300]), Statistics(-1e300, 1e300, 0.0, None, 0)),
        (np.array([np.nan, np.inf]), Statistics(None, None, None, None, 2)),
        (np.float32([0.1] * 3), Statistics(*[float(np.float32(0.1))] * 3, pytest.approx(0, abs=1e-9), 0)),
    ],
)
def test_statistics(array, wanted):
    assert Statistics.of(array) == wanted


def test_dtypes(vampconv, workshop, tmp_path):
    state = {
        "half": torch.tensor([0.5, 1.5], dtype=torch.float16),
        "brain": torch.tensor([0.5, 1.5], dtype=torch.bfloat16),
        "count": torch.tensor(3),
        "flag": torch.tensor([True]),
        "none": torch.empty(0, 2),
    }
    found = facts(vampconv, workshop.save(state, tmp_path / "a.pth"))
    assert found["kind"] == "of no known model"
    assert [t["dtype"] for t in found["tensors"]] == [
        "float16",
        "bfloat16",
        "int64",
        "bool",
        "float32",
    ]
    assert found["tensors"][1]["statistics"]["mean"] == 1.0
    ran = vampconv("inspect", tmp_path / "a.pth")
    assert (ran.code, ran.err) == (0, "")
    assert "scalar" in ran.out


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s, k: (s, k | {"n_layers": 7}), "n_layers=7"),
        (lambda s, k: (s, {n: v for n, v in k.items() if n != "vocab_size"}), "vocabulary"),
        (lambda s, k: (s | {"extra.weight": torch.ones(2)}, k), "extra.weight"),
        (lambda s, k: ({n: t for n, t in s.items() if "norm_3" not in n}, k), "norm_3"),
        (lambda s, k: (s, k | {"noise_mode": "noise"}), "noise_mode"),
    ],
)
def test_what_cannot_be_converted_is_shown_nonetheless(vampconv, workshop, tmp_path, change, told):
    state, kwargs = change(random_state_dict(workshop.tiny, 0), workshop.tiny.to_kwargs())
    path = workshop.save(checkpoint(state, kwargs), tmp_path / "a.pth")
    found = facts(vampconv, path)
    assert told in found["problem"]
    assert len(found["tensors"]) == len(state)
    ran = vampconv("inspect", path)
    assert ran.code == 0
    assert "cannot be converted" in ran.out
    assert told in ran.out


@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_files_that_cannot_be_read(vampconv, workshop, tmp_path, extra):
    good = (workshop.golden / "coarse.pth").read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 1
    for code, data in ((3, good[:-100]), (3, bytes(flipped)), (3, b""), (3, b"<html>"), (6, None)):
        path = tmp_path / "a.pth"
        path.unlink(missing_ok=True)
        if data is not None:
            path.write_bytes(data)
        ran = vampconv("inspect", path, *extra)
        assert ran.code == code
        assert ran.out == ""
        assert LINE.fullmatch(ran.err), ran.err
