"""What conversion writes: loops that share the transformers' weights."""

from __future__ import annotations

import json
import shutil

import numpy as np
import onnx
import pytest

from vampconv.convert import Request, convert
from vampconv.inspect.bundle import try_run

from ..common import OPSETS, graphs, manifest
from .conftest import Vamp, session
from .numpy_loop import Options

LOOPS = {"vamp": "coarse", "vamp_replay": "coarse", "vamp_c2f": "c2f", "vamp_c2f_replay": "c2f"}


@pytest.fixture(scope="module")
def both(workshop):
    return workshop.bundle("coarse", "c2f", "codec")


@pytest.mark.parametrize("opset", OPSETS)
def test_the_checker_and_domains(workshop, opset):
    bundle = workshop.bundle("coarse", "c2f", "codec", **({} if opset == 17 else {"opset": opset}))
    for name in LOOPS:
        onnx.checker.check_model(str(bundle / f"{name}.onnx"), full_check=True)
        model = onnx.load(bundle / f"{name}.onnx", load_external_data=False)
        assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
        assert {n.domain for g in graphs(model.graph) for n in g.node} <= {"", "ai.onnx"}
        assert not model.functions


def test_weights_are_those_of_the_transformer(both):
    for name, part in LOOPS.items():
        loop, alone = (onnx.load(both / f"{n}.onnx", load_external_data=False) for n in (name, part))
        stored, lent = ({t.name: t for t in m.graph.initializer if t.external_data} for m in (loop, alone))
        assert stored
        assert stored.keys() == lent.keys()
        for key, tensor in stored.items():
            assert tensor.external_data == lent[key].external_data
            assert tensor.external_data[0].value == f"{part}.onnx.data"
        assert max(t.ByteSize() for t in loop.graph.initializer) < 1024
    assert not list(both.glob("vamp*.data"))
    assert not any(p.is_symlink() for p in both.iterdir())


def test_ports(both):
    for name in LOOPS:
        run = session(both / f"{name}.onnx")
        draws = ["exponential", "gumbel"] if "replay" in name else ["seed"]
        options = ["temperature", "mask_temperature", "top_p", "sample_cutoff"]
        assert [p.name for p in run.get_inputs()] == ["codes", "mask", "steps", *draws, *options]
        assert [(p.name, p.type) for p in run.get_outputs()] == [("generated", "tensor(int64)")]
        entry = manifest(both)["loops"][name]
        assert [p["name"] for p in entry["inputs"]] == [p.name for p in run.get_inputs()]
        assert (entry["of"], entry["data"]) == (LOOPS[name], [f"{LOOPS[name]}.onnx.data"])


def test_after_the_bundle_was_moved(both, tmp_path):
    shutil.copytree(both, tmp_path / "here")
    (tmp_path / "here").rename(tmp_path / "there")
    model, moved = Vamp(both), Vamp(tmp_path / "there")
    codes, mask = model.draw(np.random.default_rng(0), 1, 9)
    np.testing.assert_array_equal(
        model.graph(codes, mask, Options(3), 1), moved.graph(codes, mask, Options(3), 1)
    )


def test_node_names_are_unique(both):
    for name in LOOPS:
        model = onnx.load(both / f"{name}.onnx", load_external_data=False)
        names = [n.name for g in graphs(model.graph) for n in g.node]
        values = [v for g in graphs(model.graph) for n in g.node for v in n.output]
        assert len(set(names)) == len(names)
        assert len(set(values)) == len(values)


def test_inspection_runs_them(both):
    rows = {row["file"]: row for row in try_run(both)}
    for name in LOOPS:
        assert rows[f"{name}.onnx"]["finite"]
        assert rows[f"{name}.onnx"]["output"] == rows[f"{name}.onnx"]["input"]


def test_without_loops(workshop, tmp_path, both):
    files = [workshop.golden / f"{name}.pth" for name in ("coarse", "c2f")]
    codec = workshop.golden / "codec.pth"
    convert(Request(files, tmp_path / "out", codec=codec, loops=False))
    content, whole = manifest(tmp_path / "out"), manifest(both)
    assert content["loops"] == {}
    assert content["models"] == whole["models"]
    assert {p.name for p in both.iterdir()} - {p.name for p in (tmp_path / "out").iterdir()} == {
        f"{name}.onnx" for name in LOOPS
    }


def test_a_loop_goes_with_its_transformer(workshop, tmp_path):
    """Its data file is replaced, so a loop of before would read other bytes."""
    files = [workshop.golden / f"{name}.pth" for name in ("coarse", "c2f")]
    codec = workshop.golden / "codec.pth"
    convert(Request(files, tmp_path / "out", codec=codec))
    convert(Request(files[:1], tmp_path / "out", codec=codec, add=True, loops=False))
    assert list(manifest(tmp_path / "out")["loops"]) == ["vamp_c2f", "vamp_c2f_replay"]
    assert not (tmp_path / "out" / "vamp.onnx").exists()
    convert(Request(files[:1], tmp_path / "out", codec=codec, add=True))
    assert list(manifest(tmp_path / "out")["loops"]) == ["vamp", "vamp_replay", "vamp_c2f", "vamp_c2f_replay"]


def test_a_dry_run_tells_of_them(workshop, both, vampconv):
    files = [workshop.golden / f"{name}.pth" for name in ("coarse", "c2f")]
    codec = workshop.golden / "codec.pth"
    told = vampconv("convert", *files, "--codec", codec, "-o", "nowhere", "--dry-run", "--json")
    assert told.code == 0
    wanted, found = manifest(both)["loops"], json.loads(told.out)["loops"]
    assert found.keys() == wanted.keys()
    for name, entry in found.items():
        assert entry["inputs"] == wanted[name]["inputs"]
