"""What lies on the disk: checked models, aligned weights, names, and the public contract of the ports."""

from __future__ import annotations

import os
import stat

import numpy as np
import onnx
import pytest
import torch

from vampconv.convert import Request, convert
from vampconv.errors import BadInputError
from vampconv.reference.random_checkpoint import checkpoint, random_state_dict

from ..common import OPSETS

PARTS = {"coarse": "coarse", "c2f": "c2f", "coarse_ctrl": "coarse", "coarse_film": "coarse"}
FLOAT, INT64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
everything = pytest.mark.parametrize("opset", OPSETS)
every_model = pytest.mark.parametrize("name", PARTS)


@pytest.fixture
def path(workshop, name, opset):
    return workshop.bundle(name, "codec", opset=opset) / f"{PARTS[name]}.onnx"


def port(value):
    tensor = value.type.tensor_type
    return value.name, tensor.elem_type, [d.dim_param or d.dim_value for d in tensor.shape.dim]


@every_model
@everything
def test_the_checker_and_strict_shapes(path, opset):
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(path)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", opset)]
    assert not model.functions
    assert {n.domain for n in model.graph.node} == {""}
    assert model.ir_version == onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    assert model.producer_name == "vampconv"
    assert not model.doc_string


@every_model
@everything
def test_ports(workshop, path, name):
    kwargs = workshop.load(name)["metadata"]["kwargs"]
    codebooks, vocab = kwargs["n_codebooks"], kwargs["vocab_size"]
    graph = onnx.load(path, load_external_data=False).graph
    wanted = [("codes", INT64, ["batch", codebooks, "time"])]
    if name == "coarse_film":
        wanted.append(("r", FLOAT, ["batch"]))
    for control, dim in (kwargs.get("ctrl_dims") or {}).items():
        wanted.append((f"ctrl.{control}", FLOAT, ["batch", dim, "time"]))
        wanted.append((f"ctrl_mask.{control}", FLOAT, ["batch", "time"]))
    assert sorted(map(port, graph.input)) == sorted(wanted)
    assert graph.input[0].name == "codes"
    (logits,) = graph.output
    label, dtype, (batch, rows, width) = port(logits)
    assert (label, dtype, batch, width) == ("logits", FLOAT, "batch", vocab)
    assert isinstance(rows, str)
    assert rows not in ("batch", "time", "")
    predicted = codebooks - kwargs["n_conditioning_codebooks"]
    session = workshop.session(path.parent, PARTS[name])
    feeds = {"codes": np.zeros((2, codebooks, 3), np.int64), "r": np.ones(2, np.float32)}
    for control, dim in (kwargs.get("ctrl_dims") or {}).items():
        feeds |= {f"ctrl.{control}": np.ones((2, dim, 3), np.float32)}
        feeds |= {f"ctrl_mask.{control}": np.ones((2, 3), np.float32)}
    feeds = {i.name: feeds[i.name] for i in graph.input}
    assert workshop.logits(session, feeds).shape == (2, 3 * predicted, vocab)


@every_model
@everything
def test_every_node_tells_where_it_comes_from(workshop, path, name):
    graph = onnx.load(path, load_external_data=False).graph
    names = [node.name for node in graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    outputs = [o for node in graph.node for o in node.output if o]
    ports = [v.name for v in (*graph.input, *graph.initializer)]
    assert len({*outputs, *ports}) == len(outputs) + len(ports)
    state = workshop.load(name)["state_dict"]
    modules = {n.rpartition(".")[0] for n in state}
    modules |= {".".join(m.split(".")[:i]) for m in modules for i in range(1, 9)}
    ruled = 0
    for node in graph.node:
        marks = {p.key: p.value for p in node.metadata_props}
        assert "vampconv.module" in marks, node.name
        module = marks["vampconv.module"]
        parentless = ("act", "film_1", "film_3", "self_attn", "r_embed", "ctrl_encoder", "feed_forward")
        assert module in modules or module == "" or module.endswith(parentless), module
        ruled += bool(marks.get("vampconv.rules"))
    assert ruled > 0.8 * len(names)


@every_model
@everything
def test_every_node_names_its_rules(path):
    for node in onnx.load(path, load_external_data=False).graph.node:
        marks = {p.key: p.value for p in node.metadata_props}
        structural = node.op_type in ("Add", "Concat", "Shape", "Split")
        assert marks.get("vampconv.rules") or structural, (node.op_type, node.name)


@every_model
@everything
def test_external_data(path):
    model = onnx.load(path, load_external_data=False)
    data = path.with_name(path.name + ".data")
    size, end, gaps = data.stat().st_size, 0, 0
    for tensor in model.graph.initializer:
        entries = {e.key: e.value for e in tensor.external_data}
        if not entries:
            assert len(tensor.SerializeToString()) < 1000
            continue
        assert entries["location"] == data.name
        offset, length = int(entries["offset"]), int(entries["length"])
        assert offset % 4096 == 0
        assert offset >= end
        assert length == 4 * np.prod(tensor.dims) >= 256
        gaps += offset - end
        end = offset + length
    assert end == size
    raw = data.read_bytes()
    assert gaps < 4096 * len(model.graph.initializer)
    assert len(raw) == size


@every_model
def test_plain_files_with_the_modes_that_the_umask_gives(workshop, name):
    old = os.umask(0o022)
    try:
        place = workshop.place()
        convert(
            Request([workshop.golden / f"{name}.pth"], place / "out", codec=workshop.golden / "codec.pth")
        )
    finally:
        os.umask(old)
    assert sorted(p.name for p in place.iterdir()) == ["out"]
    for path in (place / "out").iterdir():
        status = path.lstat()
        assert stat.S_ISREG(status.st_mode)
        assert status.st_nlink == 1
        assert stat.S_IMODE(status.st_mode) == 0o644


def test_a_moved_bundle_still_runs(workshop):
    place = workshop.pair()
    convert(Request([place / "coarse.pth"], place / "out"))
    feeds = {"codes": np.zeros((1, 2, 5), np.int64)}
    wanted = workshop.logits(workshop.session(place / "out"), feeds)
    (place / "out").rename(place / "moved")
    assert np.array_equal(workshop.logits(workshop.session(place / "moved"), feeds), wanted)


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize("what", ["norm of zero", "overflow of a pair", "float64 beyond float32"])
def test_weights_that_become_infinite_are_refused(workshop, tree, what, dry_run):
    place = workshop.place()
    workshop.codec(place)
    state = random_state_dict(workshop.tiny, 0)
    module = "transformer.layers.0.feed_forward.w_1"
    if what == "norm of zero":
        state["classifier.layers.0.weight_v"][3] = 0
        told = r"classifier\.layers\.0\.weight_g, classifier\.layers\.0\.weight_v|classifier.*weight_v"
    elif what == "overflow of a pair":
        state[f"{module}.lora_A"][:] = state[f"{module}.lora_B"][:] = 3e38
        told = rf"{module}\.weight, {module}\.lora_B, {module}\.lora_A|{module}\.lora"
    else:
        state = {n: t.to(torch.float64) for n, t in state.items()}
        state["transformer.norm.weight"][2] = 1e300
        told = r"transformer\.norm\.weight holds 1 non-finite"
    workshop.save(checkpoint(state, workshop.tiny.to_kwargs()), place / "coarse.pth")
    before = tree(place)
    with pytest.raises(BadInputError, match=told) as caught:
        convert(Request([place / "coarse.pth"], place / "out", dry_run=dry_run))
    assert caught.value.code == 3
    assert tree(place) == before
