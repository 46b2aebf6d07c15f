"""Oddities that do no harm: they are read, converted, and told of where something is missing in them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from . import archives, onnx_models
from .audio_files import quiet
from .case import CONVERT, KWARGS, altered, sound, weights
from .models import other_codec, tables
from .pickles import Raw, call, encode, items, program, state


def number(code: str, value) -> Raw:
    """A scalar of numpy, as it is pickled."""
    array = np.array(value, code)
    return call("numpy._core.multiarray.scalar", call("numpy.dtype", code, False, True), array.tobytes())


def old_number(code: str, value) -> Raw:
    """The same before numpy 2."""
    array = np.array(value, code)
    return call("numpy.core.multiarray.scalar", call("numpy.dtype", code, False, True), array.tobytes())


def without_checksums() -> bytes:
    """As ``torch.serialization.set_crc32_options(False)`` writes it."""
    entries = archives.reread(sound())
    for entry in entries:
        entry.crc = 0
    return archives.archive(entries)


def without(record: str) -> bytes:
    return archives.archive([e for e in archives.reread(sound()) if not e.name.endswith(record)])


def renamed(top: str) -> list[archives.Entry]:
    return [archives.Entry(e.name.replace("model", top, 1), e.data) for e in archives.reread(sound())]


def lightning(version: str) -> bytes:
    """Around the state dict, as old versions of Lightning write it."""
    tensors, storages = state(weights())
    value = {
        "epoch": 3,
        "global_step": 100,
        "pytorch-lightning_version": version,
        "state_dict": tensors,
        "callbacks": items(
            [(Raw(b"cpytorch_lightning.callbacks.model_checkpoint\nModelCheckpoint\n"), {"best": None})]
        ),
        "optimizer_states": [{"state": {}, "param_groups": [{"lr": 0.1, "betas": (0.9, 0.99)}]}],
        "lr_schedulers": [],
        "hparams_name": "kwargs",
        "hyper_parameters": call("pytorch_lightning.utilities.parsing.AttributeDict", []),
        "kwargs": dict(KWARGS),
    }
    return archives.around(program(value), storages)


def bare() -> bytes:
    tensors, storages = state(weights())
    return archives.around(program(tensors), storages)


FILES = {
    "as it is": sound,
    **{f"protocol {p}": lambda p=p: altered(protocol=p) for p in (2, 3, 4, 5)},
    "numpy scalars": lambda: altered(kwargs={"n_layers": number("i8", 1), "x": number("f8", 0.1)}),
    "numpy truths": lambda: altered(kwargs={"flash_attn": number("b1", False)}),
    "old numpy scalars": lambda: altered(kwargs={"n_heads": old_number("i4", 2), "r": old_number("f4", 0.1)}),
    "numpy text": lambda: altered(kwargs={"name": number("U3", "abc")}),
    "paths": lambda: altered(kwargs={"path": call("pathlib.PosixPath", "/", "home", "x")}),
    "paths of Windows": lambda: altered(kwargs={"path": call("pathlib.PureWindowsPath", "c:\\x")}),
    "extra metadata": lambda: altered(more={"a": [1, (2, {"b": None})], "c": 1e300, "d": float("nan")}),
    "objects in the metadata": lambda: altered(kwargs={"tracker": call("audiotools.ml.Tracker", 3), "x": call("x.Y")}),
    "deep metadata": lambda: altered(kwargs={"x": Raw(b"]" * 40 + b"a" * 39)}),
    "shared metadata": lambda: altered(kwargs={"x": Raw(b"]q\x640(h\x64h\x64h\x64t")}),
    "text in the metadata that would be markup": lambda: altered(kwargs={"x": "[red]\x1b[2J\u202e"}),
    "compiled": lambda: archives.checkpoint({f"_orig_mod.{n}": a for n, a in weights().items()}, KWARGS),
    "float64 weights": lambda: archives.checkpoint({n: a.astype("f8") for n, a in weights().items()}, KWARGS),
    "float16 weights": lambda: archives.checkpoint({n: a.astype("f2") for n, a in weights().items()}, KWARGS),
    "old Lightning": lambda: lightning("0.9.0"),
    "Lightning": lambda: lightning("2.1.0"),
    "a bare state dict": bare,
    "no version record": lambda: without("version"),
    "no byte order": lambda: without("byteorder"),
    "more records": lambda: archives.archive([*archives.reread(sound()), archives.Entry("model/.data/id", b"7")]),
    "a folder": lambda: archives.archive([archives.Entry("model/", b""), *archives.reread(sound())]),
    "a zip of 64 bits": lambda: archives.archive(archives.reread(sound()), zip64={}),
    "another top folder": lambda: archives.archive(renamed("Modell α 1")),
    "no checksums": without_checksums,
}  # fmt: skip


@pytest.fixture
def run(template, tmp_path, server):
    """Runs command lines beside a file; their results."""
    (tmp_path / "codec.pth").write_bytes((template / "codec.pth").read_bytes())

    def go(content, *commands):
        (tmp_path / "model.pth").write_bytes(content)
        told = server.ask(tmp_path, [list(c) for c in commands], watch=True)
        assert [ran["code"] for ran in told["runs"]] == [0] * len(commands), told["runs"]
        assert not any(ran["seen"] or ran["err"] for ran in told["runs"])
        return [ran["out"] for ran in told["runs"]]

    return go


@pytest.mark.parametrize("name", FILES)
def test_it_is_converted(run, template, tmp_path, name):
    content = FILES[name]()
    converted, shown = run(content, CONVERT, ("inspect", "model.pth"))
    for file in ("coarse.onnx", "vamp.onnx") if "float16" not in name else ():
        assert (tmp_path / "out" / file).read_bytes() == (template / "out" / file).read_bytes()
    warned = "model.pth has no checksums" in converted
    assert warned == ("has no checksums" in shown) == (name == "no checksums")
    assert "\x1b" not in converted + shown
    assert "\u202e" not in converted + shown


def test_what_has_no_checksums_can_be_played(server, workshop, tmp_path):
    """As from checkpoints without checksums, so from safetensors files."""
    for name in ("coarse", "c2f", "codec"):
        entries = archives.reread((workshop.golden / f"{name}.pth").read_bytes())
        for entry in entries:
            entry.crc = 0
        (tmp_path / f"{name}.pth").write_bytes(archives.archive(entries))
    (tmp_path / "in.wav").write_bytes(quiet())
    command = ("convert", "coarse.pth", "c2f.pth", "codec.pth", "-o", "bundle", "--no-loop")
    vamp = ("vamp", "in.wav", "-o", "made.wav", "--bundle", "bundle", "--threads", "1", "--steps", "1")
    told = server.ask(tmp_path, [command, vamp])
    assert [(ran["code"], ran["err"]) for ran in told["runs"]] == [(0, "")] * 2


def test_a_missing_checksum_is_in_the_manifest(run, tmp_path):
    run(without_checksums(), CONVERT)
    content = json.loads((tmp_path / "out" / "vampconv.json").read_text())
    ours = next(c for c in content["checkpoints"] if c["file"] == "model.pth")
    assert not any("crc32" in tensor for tensor in ours["tensors"])


@pytest.mark.parametrize("rates", [[0], [10**400], [2] * 100_000, "ab", [float("nan")]])
def test_nonsense_in_a_lent_codec_is_no_fact(run, tmp_path, rates):
    kwargs = {"sample_rate": float("nan"), "decoder_rates": Raw(encode(rates))}
    other_codec(tables(), kwargs)(tmp_path)
    run(sound(), CONVERT)
    assert "hop" not in json.loads((tmp_path / "out" / "vampconv.json").read_text())


def test_a_model_that_names_what_is_not_known_stays_as_it_is(run, tmp_path):
    """A constant of a terabyte is not folded, an operator of others is not touched."""
    import onnx

    shape = onnx.numpy_helper.from_array(np.array([1 << 38]), "n")
    node = onnx.helper.make_node
    made = onnx_models.model(
        shape, nodes=[node("ConstantOfShape", ["n"], ["c"]), node("Add", ["x", "c"], ["y"])]
    )
    (tmp_path / "model.onnx").write_bytes(made.SerializeToString())
    run(b"", ("optimize", "model.onnx", "-o", "made.onnx"))
    kinds = [n.op_type for n in onnx.load(tmp_path / "made.onnx").graph.node]
    assert kinds == ["ConstantOfShape", "Add"]
