"""What the crashes of `vampconv.bench.crashes` happen to: each command that writes, anew and over old files."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import onnx
import torch

# What the commands import when they are called: once here, not in every child.
import vampconv.convert.conversion
import vampconv.optimize
import vampconv.play.perform
import vampconv.report
import vampconv.verify.report
import vampconv.verify.verify  # noqa: F401
from vampconv.convert import Request, convert
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import checkpoint, random_codec_tables, random_state_dict
from vampconv.runtime.audio.files import write_wav

TINY = VampNetConfig(
    n_heads=2, n_layers=1, n_codebooks=2, latent_dim=3, embedding_dim=6, vocab_size=7, flash_attn=False
)


@dataclass(frozen=True)
class Case:
    """A command.

    Parameters
    ----------
    name
        For people.
    arguments
        Of the command line; it works in a directory of its own.
    prepare
        Puts there what the command finds.
    bundle
        The name of the bundle that it writes, if it writes one.
    exchange
        Whether the system can let two directories trade places.

    """

    name: str
    arguments: Sequence[str]
    prepare: Callable[[Path], object] = lambda _: None
    bundle: str | None = None
    exchange: bool = True
    timed: bool = False
    """Whether the files tell how long something took: numbers in them are not compared."""


def cases(golden: Path, inputs: Path) -> list[Case]:
    """Those that there are; what they read is made in a new directory."""
    inputs.mkdir()
    torch.set_num_threads(1)
    return [*_conversions(inputs), *_vamps(golden, inputs), *_optimisations(inputs), *_verifications(inputs)]


def _model(config: VampNetConfig, path: Path, seed: int) -> Path:
    torch.save(checkpoint(random_state_dict(config, seed), config.to_kwargs()), path)
    return path


def _conversions(inputs: Path) -> list[Case]:
    coarse, other = (
        _model(TINY, inputs / f"{name}.pth", seed) for seed, name in enumerate(("coarse", "other"))
    )
    fine = replace(TINY, n_conditioning_codebooks=1)
    c2f = _model(fine, inputs / "c2f.pth", 2)
    codec = inputs / "codec.pth"
    tables = random_codec_tables(TINY.n_codebooks, TINY.vocab_size, TINY.latent_dim, 1)
    torch.save(checkpoint(tables, {"sample_rate": 16000, "decoder_rates": [3, 5]}), codec)

    def old(place: Path) -> None:
        convert(Request([other], place / "out", codec, loops=False))

    command = ["convert", str(coarse), "--codec", str(codec), "-o", "out", "--force"]
    add = ["convert", str(c2f), "--codec", str(codec), "-o", "out", "--add", "--no-loop"]
    return [
        Case("convert", [*command[:-3], "-o", "deep/er/out", "--force"], bundle="deep/er/out"),
        Case("convert-force", command, old, "out"),
        Case("convert-force-journal", command, old, "out", exchange=False),
        Case("convert-add", add, old, "out"),
        Case("convert-add-journal", add, old, "out", exchange=False),
    ]


def _vamps(golden: Path, inputs: Path) -> list[Case]:
    bundle = inputs / "bundle"
    convert(Request([golden / f"{name}.pth" for name in ("coarse", "c2f", "codec")], bundle, loops=False))
    sound = np.random.default_rng(0).normal(0, 0.1, (1, 3000)).astype(np.float32)
    write_wav(inputs / "in.wav", sound, 44100)

    def old(place: Path) -> None:
        for name in ("o.wav", "o.npz", "o.flac"):
            (place / name).write_text(f"old {name}")

    command = ["vamp", str(inputs / "in.wav"), "--bundle", str(bundle), "--seed", "0", "--steps", "1"]
    command += ["--threads", "1", "--no-check", "--force"]
    return [
        Case("vamp", [*command, "-o", "o.wav"]),
        Case("vamp-flac", [*command, "-o", "o.flac"], old),
        Case("vamp-tokens", [*command, "-o", "o.wav", "--save-tokens", "o.npz"], old),
    ]


def _optimisations(inputs: Path) -> list[Case]:
    weight = np.arange(64 * 64, dtype=np.float32).reshape(64, 64)
    nodes = [onnx.helper.make_node("MatMul", ["x", "w"], ["m"]), onnx.helper.make_node("Relu", ["m"], ["y"])]
    ports = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 64]) for n in "xy"]
    graph = onnx.helper.make_graph(
        nodes, "g", ports[:1], ports[1:], [onnx.numpy_helper.from_array(weight, "w")]
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.save(model, inputs / "inline.onnx")
    onnx.save(
        model, inputs / "data.onnx", save_as_external_data=True, location="data.onnx.data", size_threshold=0
    )

    def inline(place: Path) -> None:
        (place / "o.onnx").write_text("old")

    def data(place: Path) -> None:
        shutil.copy(inputs / "data.onnx", place / "o.onnx")
        shutil.copy(inputs / "data.onnx.data", place / "data.onnx.data")
        old = onnx.load(place / "o.onnx", load_external_data=False)
        old.graph.initializer[0].external_data[0].value = "o.onnx.data"
        (place / "data.onnx.data").rename(place / "o.onnx.data")
        (place / "o.onnx").write_bytes(old.SerializeToString())

    return [
        Case("optimize", ["optimize", str(inputs / "inline.onnx"), "-o", "o.onnx", "--force"], inline),
        Case("optimize-data", ["optimize", str(inputs / "data.onnx"), "-o", "o.onnx", "--force"], data),
    ]


def _verifications(inputs: Path) -> list[Case]:
    bundle = inputs / "small"
    convert(Request([inputs / "coarse.pth"], bundle, inputs / "codec.pth", loops=False))

    def old(place: Path) -> None:
        for name in ("r.json", "r.html", "r.xml"):
            (place / name).write_text(f"old {name}")

    command = [
        "verify",
        str(bundle),
        "--against",
        str(inputs / "coarse.pth"),
        "--against",
        str(inputs / "codec.pth"),
    ]
    command += [
        "--lengths",
        "1",
        "--batches",
        "1",
        "--json",
        "r.json",
        "--html",
        "r.html",
        "--junit",
        "r.xml",
    ]
    return [Case("verify", command, old, timed=True)]
