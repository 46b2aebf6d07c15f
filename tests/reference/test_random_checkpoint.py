"""Random checkpoints of any size are what the original would save."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import COARSE, random_state_dict
from vampconv.reference.vampnet import VampNetReference

from ..common import ROOT

SCRIPT = ROOT / "fixtures" / "make_checkpoint.py"
TINY_CODEC = ["--encoder-dim", "2", "--decoder-dim", "16", "--vocab", "11"]
TINY = ["--layers", "2", "--dim", "24", "--heads", "3", "--vocab", "11"]


@pytest.fixture(scope="module")
def make():
    spec = importlib.util.spec_from_file_location("make_checkpoint", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def load(path):
    return torch.load(path, weights_only=True)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("coarse", []),
        ("c2f", []),
        ("coarse", ["--no-lora", "--seed", "5"]),
        ("coarse", ["--flash"]),
        ("coarse", ["--film-dim", "9", "--codebooks", "3", "--conditioning", "1"]),
        ("coarse", ["--control", "rmsq16=1", "--control", "a=b=3"]),
    ],
)
def test_it_loads_strictly_and_runs(make, tmp_path, kind, options):
    assert make([kind, str(tmp_path / "model.pth"), *TINY, *options]) == 0
    assert make(["codec", str(tmp_path / "codec.pth"), *TINY_CODEC]) == 0
    saved, codec = load(tmp_path / "model.pth"), load(tmp_path / "codec.pth")
    golden_codec = load(SCRIPT.parent / "golden/codec.pth")
    assert codec["metadata"]["kwargs"].keys() == golden_codec["metadata"]["kwargs"].keys()
    kwargs = saved["metadata"]["kwargs"]
    model = VampNetReference.from_state_dict(saved["state_dict"], kwargs, codec_tables(codec["state_dict"]))
    config = model.config
    logits = model(
        torch.randint(0, 12, (2, config.n_codebooks, 6)),
        torch.rand(2),
        {name: torch.ones(2, dim, 6) for name, dim in config.ctrl_dims.items()},
        {name: torch.ones(2, 6) for name in config.ctrl_dims},
    )
    assert logits.shape == (2, 11, 6 * config.n_predict)
    assert torch.isfinite(logits).all()
    assert 0.3 < logits.std() < 3
    assert ("--no-lora" in options) != any("lora" in name for name in saved["state_dict"])


def test_a_fine_tune_loads_over_its_base(make, tmp_path):
    for kind in ("coarse", "fine-tune", "codec"):
        sizes = TINY_CODEC if kind == "codec" else TINY
        assert make([kind, str(tmp_path / f"{kind}.pth"), *sizes, "--seed", str(len(kind))]) == 0
    base, lora = load(tmp_path / "coarse.pth"), load(tmp_path / "fine-tune.pth")
    tables = codec_tables(load(tmp_path / "codec.pth")["state_dict"])
    model = VampNetReference.from_state_dict(base["state_dict"], base["metadata"]["kwargs"], tables, lora)
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in lora.items())


@pytest.mark.parametrize("name", ["coarse", "c2f", "coarse_ctrl", "coarse_film"])
def test_layout_and_scale_are_those_of_the_original(workshop, name):
    saved = workshop.load(name)
    original = saved["state_dict"]
    kwargs = saved["metadata"]["kwargs"]
    config = VampNetConfig.from_kwargs(kwargs)
    assert kwargs.items() <= config.to_kwargs().items()
    state = random_state_dict(config, seed=0)
    assert [(n, t.shape) for n, t in state.items()] == [(n, t.shape) for n, t in original.items()]
    for name, tensor in original.items():
        if tensor.std() > 0.05 and not name.endswith("norm_1.weight"):
            assert 0.3 < state[name].std() / tensor.std() < 3, name


def test_the_seed_decides(workshop):
    config = VampNetConfig.from_kwargs(workshop.load("c2f")["metadata"]["kwargs"])
    first, again, other = (random_state_dict(config, seed) for seed in (7, 7, 8))
    assert all(torch.equal(tensor, again[name]) for name, tensor in first.items())
    assert not any(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_full_size_is_the_trained_model():
    with torch.device("meta"):
        state = VampNetReference(COARSE).state_dict()
    assert sum(tensor.numel() for tensor in state.values()) == 335_893_664
    assert len(state) == 368


def test_impossible_sizes_leave_no_file(make, tmp_path, capsys):
    assert make(["coarse", str(tmp_path / "x.pth"), "--dim", "25", "--heads", "3"]) == 3
    assert "error[3]: 3 heads do not divide dim 25" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
