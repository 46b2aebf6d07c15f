"""Bundles whose manifest or models lie, for ``inspect``, ``vamp`` and ``verify``."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx

from . import onnx_models
from .audio_files import quiet
from .case import Case

INSPECT = ("inspect", "bundle")
RUN = ("inspect", "bundle", "--run")
VAMP = ("vamp", "in.wav", "-o", "made.wav", "--bundle", "bundle", "--threads", "1")
EXPLAIN = ("rules", "explain", "bundle", "logits")
ALL = (INSPECT, RUN, VAMP, EXPLAIN)
MANIFEST = "bundle/vampconv.json"


def manifest(change: Callable[[dict[str, Any]], object]):
    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        content = json.loads((place / MANIFEST).read_text())
        change(content)
        (place / MANIFEST).write_text(json.dumps(content))

    return make


def entry(**changes):
    return manifest(lambda content: content["models"]["coarse"].update(changes))


def raw(content: bytes):
    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / MANIFEST).write_bytes(content)

    return make


def replaced(name: str, how: Callable[[Path], object]):
    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / "bundle" / name).unlink()
        how(place / "bundle" / name)

    return make


def resigned(place: Path, *names: str) -> None:
    """Write the hashes of files as they are now to the manifest, as whoever changed them would."""
    content = json.loads((place / MANIFEST).read_text())
    for name in names:
        data = (place / "bundle" / name).read_bytes()
        content["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (place / MANIFEST).write_text(json.dumps(content))


def relocated(location: str, part: str = "encoder"):
    """The weights of a model lie in another file, of which the manifest knows nothing."""

    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        path = place / "bundle" / f"{part}.onnx"
        (place / "secret.bin").write_bytes((place / "bundle" / f"{part}.onnx.data").read_bytes())
        model = onnx.load(path, load_external_data=False)
        for tensor in model.graph.initializer:
            for told in tensor.external_data:
                if told.key == "location":
                    told.value = location.replace("HERE", str(place))
        path.write_bytes(model.SerializeToString())
        resigned(place, path.name)

    return make


def emptied(name: str, target: str):
    """A link in place of a file, which the manifest says is empty."""

    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        (place / "bundle" / name).unlink()
        (place / "bundle" / name).symlink_to(target)
        content = json.loads((place / MANIFEST).read_text())
        content["files"][name] = {"bytes": 0, "sha256": hashlib.sha256().hexdigest()}
        (place / MANIFEST).write_text(json.dumps(content))

    return make


def other_model(part: str, *, empty: bool = False):
    """Another, sound model in place of a part's, with the hashes put right."""

    def make(place: Path) -> None:
        (place / "in.wav").write_bytes(quiet())
        made = onnx_models.model()
        if empty:
            del made.graph.input[:]
            made.graph.node[0].input[0] = "w"
        (place / "bundle" / f"{part}.onnx").write_bytes(made.SerializeToString())
        resigned(place, f"{part}.onnx")

    return make


DEEP = b'{"format": 1, "models": ' + b"[" * 200_000 + b"]" * 200_000 + b"}"
OUTSIDE = "no file of the bundle"
CASES = [
    Case("no manifest", 6, "is not a bundle", lambda p: (p / MANIFEST).unlink(), ALL),
    Case("an empty manifest", 6, "vampconv.json", raw(b""), ALL),
    Case("a manifest of bytes", 6, "vampconv.json", raw(b"\xff\xfe\x00"), ALL),
    Case(
        "a manifest that is a pickle",
        6,
        "vampconv.json",
        raw(b"\x80\x02cos\nsystem\nX\x0c\0\0\0touch canary\x85R."),
        ALL,
    ),
    Case("a manifest of another format", 6, "format", raw(b'{"format": 99}'), ALL),
    Case("a manifest that is a list", 6, "format", raw(b"[1]"), ALL),
    Case("a manifest without models", 6, "no models", raw(b'{"format": 1}'), ALL),
    Case("a manifest that nests", 6, "vampconv.json", raw(DEEP), ALL),
    Case("a manifest of digits", 6, "vampconv.json", raw(b'{"format": ' + b"9" * 5000 + b"}"), ALL),
    Case("a manifest of 200 MB", 8, "vampconv.json", lambda p: os.truncate(p / MANIFEST, 200 << 20), ALL),
    Case(
        "a manifest that is a device",
        6,
        "regular file|not a bundle",
        replaced("vampconv.json", lambda f: f.symlink_to("/dev/zero")),
        ALL,
    ),
    Case(
        "a manifest that is a pipe", 6, "regular file|not a bundle", replaced("vampconv.json", os.mkfifo), ALL
    ),
    Case(
        "a manifest that is a directory",
        6,
        "vampconv.json|not a bundle",
        replaced("vampconv.json", lambda f: f.mkdir()),
        ALL,
    ),
    Case("models that are a list", 6, "damaged", manifest(lambda c: c.update(models=[])), ALL),
    Case(
        "a model that is a list",
        6,
        "incomplete",
        manifest(lambda c: c["models"].update(encoder=[], coarse=[])),
        ALL,
    ),
    Case(
        "a model above the bundle",
        6,
        OUTSIDE,
        manifest(lambda c: [m.update(file="../model.pth") for m in c["models"].values()]),
        ALL,
    ),
    Case(
        "a model at the root",
        6,
        OUTSIDE,
        manifest(lambda c: [m.update(file="/etc/passwd") for m in c["models"].values()]),
        ALL,
    ),
    Case(
        "a model that is a number",
        6,
        f"{OUTSIDE}|incomplete",
        manifest(lambda c: [m.update(file=7) for m in c["models"].values()]),
        ALL,
    ),
    Case(
        "a model that is a dict",
        6,
        "damaged|no file",
        manifest(lambda c: [m.update(file={}) for m in c["models"].values()]),
        ALL,
    ),
    Case(
        "a model with an escape in its name",
        6,
        f"{OUTSIDE}|hashes",
        manifest(lambda c: [m.update(file="\x1b[2J\n") for m in c["models"].values()]),
        ALL,
    ),
    Case("data above the bundle", 6, OUTSIDE, entry(data=["../secret"]), (INSPECT, RUN, EXPLAIN)),
    Case("data that are a number", 6, "damaged|incomplete", entry(data=7), (INSPECT, RUN, EXPLAIN)),
    Case("data of dicts", 6, "damaged|no file", entry(data=[{}]), (INSPECT, RUN, EXPLAIN)),
    Case(
        "weights that are a number", 6, "damaged|where the weights", entry(initializers=7), ALL[:1] + ALL[2:]
    ),
    Case("weights of numbers", 6, "damaged|where the weights", entry(initializers=[7]), ALL[:1] + ALL[2:]),
    Case(
        "weights without a name", 6, "damaged|where the weights", entry(initializers=[{}]), ALL[:1] + ALL[2:]
    ),
    Case(
        "a weight that is not there",
        6,
        "lost its weight",
        entry(initializers=[{"name": "no", "from": [], "expression": "", "shape": [], "dtype": ""}]),
        (INSPECT,),
    ),
    Case("an architecture of a list", 6, "damaged|architecture", entry(architecture=[1]), ALL),
    Case(
        "an architecture of nothing",
        6,
        "damaged|architecture",
        manifest(lambda c: [m.update(architecture={}) for m in c["models"].values()]),
        (VAMP,),
    ),
    Case(
        "an architecture of text",
        6,
        "damaged|architecture",
        manifest(
            lambda c: [
                m["architecture"].update(dict.fromkeys(m["architecture"], "x")) for m in c["models"].values()
            ]
        ),
        (VAMP,),
    ),
    Case(
        "an architecture of a billion",
        6,
        ".",
        manifest(
            lambda c: [
                m["architecture"].update(
                    {k: 10**9 for k, v in m["architecture"].items() if isinstance(v, int)}
                )
                for m in c["models"].values()
            ]
        ),
        (VAMP,),
    ),
    Case(
        "codebooks of another number",
        6,
        "not what the bundle says",
        manifest(lambda c: c["models"]["c2f"]["architecture"].update(n_codebooks=15)),
        (VAMP,),
    ),
    Case("inputs of numbers", 6, "damaged|input", entry(inputs=[7]), (RUN,)),
    Case(
        "inputs of a shape of a billion",
        6,
        ".",
        entry(inputs=[{"name": "codes", "dtype": "int64", "shape": [10**9, 10**9]}]),
        (RUN,),
    ),
    Case(
        "checkpoints of numbers",
        6,
        "damaged|incomplete",
        manifest(lambda c: c.update(checkpoints=[7])),
        (INSPECT, VAMP),
    ),
    Case("files that are a list", 6, "damaged|no files", manifest(lambda c: c.update(files=[])), ALL),
    Case(
        "files of numbers",
        6,
        "damaged|hashes",
        manifest(lambda c: c.update(files=dict.fromkeys(c["files"], 7))),
        (INSPECT, VAMP),
    ),
    Case(
        "a loop around nothing",
        6,
        "is a loop around",
        manifest(lambda c: c["loops"]["vamp"].update(of="nothing")),
        ALL[:2] + ALL[3:],
    ),
    Case(
        "a loop around a dict",
        6,
        "loop",
        manifest(lambda c: c["loops"]["vamp"].update(of={})),
        ALL[:2] + ALL[3:],
    ),
    Case("a rate of text", 6, "sample_rate", manifest(lambda c: c.update(sample_rate="x")), (VAMP,)),
    Case(
        "a rate of 400 digits", 6, "sample_rate", manifest(lambda c: c.update(sample_rate=10**400)), (VAMP,)
    ),
    Case("a hop of a billion", 6, "hop", manifest(lambda c: c.update(hop=10**9)), (VAMP,)),
    Case(
        "chunks of NaN",
        6,
        "chunks",
        manifest(lambda c: c.update(chunk_seconds={"coarse": float("nan"), "c2f": float("nan")})),
        (VAMP,),
    ),
    Case(
        "chunks without end",
        6,
        "chunks",
        manifest(lambda c: c.update(chunk_seconds={"coarse": float("inf"), "c2f": 1e308})),
        (VAMP,),
    ),
    Case(
        "a model that is a device",
        6,
        "regular file",
        emptied("encoder.onnx", "/dev/zero"),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "a model that is a pipe", 6, "regular file", replaced("encoder.onnx", os.mkfifo), (INSPECT, RUN, VAMP)
    ),
    Case(
        "a model that is a directory",
        6,
        "encoder.onnx",
        replaced("encoder.onnx", lambda f: f.mkdir()),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "a model that is a checkpoint",
        6,
        "encoder.onnx",
        replaced("encoder.onnx", lambda f: f.write_bytes((f.parent.parent / "codec.pth").read_bytes())),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "data that are a device",
        6,
        "regular file",
        emptied("encoder.onnx.data", "/dev/zero"),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "data that are a pipe",
        6,
        "regular file",
        replaced("encoder.onnx.data", os.mkfifo),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "data that are cut",
        6,
        "encoder",
        lambda p: ((p / "in.wav").write_bytes(quiet()), os.truncate(p / "bundle/encoder.onnx.data", 5000)),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "data that shrink while they are read",
        6,
        "encoder|changed|ends",
        manifest(lambda _: None),
        (INSPECT,),
        [("mmap", 1, "cut", "bundle/coarse.onnx.data"), ("pread", 2, "cut", "bundle/coarse.onnx.data")],
    ),
    Case("weights above the bundle", 6, OUTSIDE, relocated("../secret.bin"), (INSPECT, RUN, VAMP)),
    Case("weights at the root", 6, OUTSIDE, relocated("HERE/secret.bin"), (INSPECT, RUN, VAMP)),
    Case("weights through a folder", 6, OUTSIDE, relocated("sub/../../secret.bin"), (INSPECT, RUN, VAMP)),
    Case("another model", 6, ".", other_model("encoder"), (INSPECT, RUN, VAMP)),
    Case("another model of the same name", 6, ".", other_model("coarse"), (INSPECT, RUN, VAMP)),
    Case("a model without inputs", 6, ".", other_model("encoder", empty=True), (INSPECT, RUN, VAMP)),
    Case(
        "weights in a file that is not listed",
        6,
        OUTSIDE,
        lambda p: (relocated("more.data")(p), (p / "secret.bin").rename(p / "bundle/more.data")),
        (INSPECT, RUN, VAMP),
    ),
    Case(
        "a manifest that lists files above it",
        6,
        OUTSIDE,
        manifest(
            lambda c: (
                c["files"].update({"../model.pth": {"bytes": 1, "sha256": ""}})
                or [m.update(file="../model.pth") for m in c["models"].values()]
            )
        ),
        ALL,
    ),
]
VERIFY = (
    (
        "verify",
        "bundle",
        "--lengths",
        "1",
        "--batches",
        "1",
        "--against",
        "model.pth",
        "--against",
        "codec.pth",
    ),
)
"""What only ``verify`` reads, over a bundle of the small transformer."""
VERIFIED = [
    Case("verify: no manifest", 6, "is not a bundle", lambda p: (p / MANIFEST).unlink(), VERIFY),
    Case(
        "verify: a manifest that nests",
        6,
        "vampconv.json",
        lambda p: (p / MANIFEST).write_bytes(DEEP),
        VERIFY,
    ),
    Case(
        "verify: a manifest that is a device",
        6,
        "regular|not a bundle",
        lambda p: ((p / MANIFEST).unlink(), (p / MANIFEST).symlink_to("/dev/zero")),
        VERIFY,
    ),
    Case("verify: a checkpoint that is no checkpoint", 3, "model.pth", lambda _: b"nothing " * 20, VERIFY),
    Case(
        "verify: a checkpoint of a payload",
        3,
        "bad is an object of os.system",
        lambda p: __import__("tests.hostile.code", fromlist=["x"]).in_state(
            __import__("tests.hostile.code", fromlist=["x"]).PAYLOADS["os.system"]
        )(p),
        VERIFY,
    ),
    Case(
        "verify: a checkpoint that is a pipe",
        6,
        "not a regular file",
        lambda p: ((p / "model.pth").unlink(), os.mkfifo(p / "model.pth"))[0],
        VERIFY,
    ),
    Case(
        "verify: checkpoints of numbers",
        6,
        "damaged",
        lambda p: changed_manifest(p, lambda c: c.update(checkpoints=[7])),
        VERIFY,
    ),
    Case(
        "verify: a checkpoint outside",
        6,
        "damaged|not found",
        lambda p: changed_manifest(
            p, lambda c: c["checkpoints"][0].update(file="../../etc/passwd", bytes="x")
        ),
        VERIFY,
    ),
    Case(
        "verify: files of numbers",
        6,
        "incomplete",
        lambda p: changed_manifest(p, lambda c: c.update(files=dict.fromkeys(c["files"], 7))),
        VERIFY,
    ),
    Case(
        "verify: a file above the bundle",
        6,
        OUTSIDE,
        lambda p: changed_manifest(p, lambda c: c["models"]["coarse"].update(file="../model.pth")),
        VERIFY,
    ),
    Case(
        "verify: a model that is a pipe",
        6,
        "regular file",
        lambda p: ((p / "bundle/coarse.onnx").unlink(), os.mkfifo(p / "bundle/coarse.onnx"))[0],
        VERIFY,
    ),
    Case(
        "verify: a model that is a device",
        6,
        "regular file",
        lambda p: ((p / "bundle/coarse.onnx").unlink(), (p / "bundle/coarse.onnx").symlink_to("/dev/zero"))[
            0
        ],
        VERIFY,
    ),
    Case(
        "verify: data that are a device",
        6,
        "regular file",
        lambda p: (
            (p / "bundle/coarse.onnx.data").unlink(),
            (p / "bundle/coarse.onnx.data").symlink_to("/dev/zero"),
        )[0],
        VERIFY,
    ),
    Case("verify: weights above the bundle", 6, OUTSIDE, relocated("../secret.bin", "coarse"), VERIFY),
    Case(
        "verify: plugins of numbers",
        6,
        "damaged|plugin",
        lambda p: changed_manifest(p, lambda c: c.update(plugins=[7])),
        VERIFY,
    ),
    Case(
        "verify: a plugin that it names",
        6,
        "plugins",
        lambda p: changed_manifest(
            p,
            lambda c: c["plugins"].append(
                {
                    "name": "evil",
                    "version": "1",
                    "distribution": "evil",
                    "module": "os",
                    "rules": [],
                    "families": [],
                }
            ),
        ),
        VERIFY,
    ),
]


def changed_manifest(place: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads((place / MANIFEST).read_text())
    change(content)
    (place / MANIFEST).write_text(json.dumps(content))
