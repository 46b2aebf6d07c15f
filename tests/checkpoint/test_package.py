"""torch.package archives: the state of the module in them, none of its code."""

from __future__ import annotations

import importlib.util
import sys
import zipfile

import pytest
import torch
from torch.package import PackageExporter

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError

from .helpers import bits, rewrite, torch_bits

SOURCE = """
import pathlib
import torch

pathlib.Path("ran").touch()

class Block(torch.nn.Module):
    def __init__(self, size):
        super().__init__()
        self.linear = torch.nn.Linear(size, size, bias=False)
        self.register_parameter("absent", None)
        self.register_buffer("table", torch.arange(size))
        self.register_buffer("scratch", torch.ones(size), persistent=False)

class Toy(torch.nn.Module):
    def __init__(self, size=4):
        super().__init__()
        self.size, self.name, self.rates, self.options = size, "toy", [2, 4], {"a": None, "b": [1.5, True]}
        self.function, self.loose = torch.relu, torch.ones(3)
        self.blocks = torch.nn.ModuleList([Block(size), Block(size)])
        self.blocks.append(self.blocks[0])
        self.nothing = None
        self.special = torch.nn.ParameterDict({"MASK": torch.nn.Parameter(torch.randn(2, size))})
        self.brain = torch.nn.Parameter(torch.randn(2, 3, dtype=torch.bfloat16).t())
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    (tmp_path / "toy_model.py").write_text(SOURCE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    spec = importlib.util.spec_from_file_location("toy_model", tmp_path / "toy_model.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "toy_model", module)
    spec.loader.exec_module(module)
    (tmp_path / "ran").unlink()
    torch.manual_seed(0)
    return module.Toy()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def export(path, module, **resources):
    with PackageExporter(path) as exporter:
        exporter.extern("torch.**")
        exporter.intern("toy_model")
        exporter.save_pickle("Toy", "Toy.pth", module)
        for name, value in resources.items():
            exporter.save_pickle("Toy", name.replace("_", "."), value)
    return path


def check(path, module):
    state = module.state_dict()
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.format == "torch.package"
        assert list(checkpoint.tensors) == list(state)
        for name, tensor in state.items():
            assert bits(checkpoint.tensors[name].read()) == torch_bits(tensor)
        checkpoint.verify()
        return dict(checkpoint.metadata), checkpoint.outside


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_package_with_metadata(tmp_path, toy):
    path = export(tmp_path / "a.pth", toy, Toy_metadata={"kwargs": {"size": 4}, "note": "x"})
    metadata, outside = check(path, toy)
    assert metadata == {"kwargs": {"size": 4}, "note": "x"}
    assert set(outside) == {"loose", "blocks.0.scratch", "blocks.1.scratch", "blocks.2.scratch"}
    assert not (tmp_path / "ran").exists()


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_package_without_metadata(tmp_path, toy):
    metadata, _ = check(export(tmp_path / "a.pth", toy), toy)
    expected = {
        "size": 4,
        "name": "toy",
        "rates": [2, 4],
        "options": {"a": None, "b": [1.5, True]},
        "nothing": None,
    }
    assert metadata == {"kwargs": expected}


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_package_of_several_models_or_none(tmp_path, toy):
    with pytest.raises(BadInputError, match=r"b\.pth"):
        open_checkpoint(export(tmp_path / "a.pth", toy, b_pth=toy))
    path = export(tmp_path / "b.pth", toy)
    empty = rewrite(path, tmp_path / "c.pth", lambda n, d: None if n.endswith("Toy.pth") else (n, d))
    with pytest.raises(BadInputError, match="one model"):
        open_checkpoint(empty)
    torn = rewrite(path, tmp_path / "d.pth", lambda n, d: None if n.endswith(".data/0.storage") else (n, d))
    with pytest.raises(BadInputError, match="missing"):
        open_checkpoint(torn)


@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated")
def test_damaged_code_is_noticed(tmp_path, toy):
    path = export(tmp_path / "a.pth", toy)
    data = bytearray(path.read_bytes())
    data[data.index(b"import pathlib")] ^= 4
    path.write_bytes(data)
    assert zipfile.is_zipfile(path)
    with open_checkpoint(path) as checkpoint, pytest.raises(BadInputError, match=r"toy_model\.py"):
        checkpoint.verify()
