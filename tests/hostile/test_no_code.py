"""No payload runs, whatever holds it and whatever command reads it; an audit hook and canaries look out for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import onnx
import pytest

from . import archives, onnx_models
from .audio_files import npy, npz, quiet
from .case import KWARGS, codec, weights
from .code import BROKEN, CANARY, PAYLOADS, in_metadata, in_state
from .containers import LEGACY
from .packages import SOUND, SOURCE, package
from .pickles import Raw, encode, items, program, tensor
from .runner import state_of


def lightning(payload: bytes) -> bytes:
    """Where Lightning keeps what it likes: callbacks, optimisers, hyper-parameters."""
    value = {
        "pytorch-lightning_version": "1.9.0",
        "state_dict": items([("w", tensor())]),
        "hyper_parameters": {"x": Raw(payload)},
        "callbacks": {"c": Raw(payload)},
        "optimizer_states": [Raw(payload)],
    }
    return archives.bare(value)


def legacy(payload: bytes) -> bytes:
    """A file of before PyTorch 1.6: one pickle after another."""
    return LEGACY[:20] + program(Raw(payload)) + program(Raw(payload))


def in_sheaf(payload: bytes) -> bytes:
    """In the metadata of safetensors, as text."""
    text = payload.decode("latin-1")
    header = {
        "__metadata__": {"kwargs": text, "pickle": text},
        "w": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]},
    }
    return archives.safetensors(header, bytes(16))


def in_records(payload: bytes) -> bytes:
    """In records that nothing asks for, beside a sound model."""
    more = [
        archives.Entry(f"model/{n}", program(Raw(payload)))
        for n in ("extra.pkl", "code/x.py", "data/999", ".data/x.pkl")
    ]
    return archives.archive([*archives.reread(archives.checkpoint(weights(), KWARGS)), *more])


def in_key(payload: bytes) -> bytes:
    return archives.bare(items([(Raw(payload), tensor()), ("w", tensor())]))


def in_package(payload: bytes) -> bytes:
    return package(
        SOUND,
        archives.Entry("evil/x.pkl.py", SOURCE),
        archives.Entry("evil/a.metadata", program({"x": Raw(payload)})),
    )


HOLDERS = {
    "state dict": lambda payload: in_state(payload)(None),
    "metadata": in_metadata,
    "top level": lambda payload: archives.around(program(Raw(payload))),
    "key": in_key,
    "Lightning": lightning,
    "legacy file": legacy,
    "records": in_records,
    "package": in_package,
    "bare pickle": lambda payload: program(Raw(payload)),
    "safetensors": in_sheaf,
}
"""Each makes a file around a payload."""
COMMANDS = [
    ["convert", "bad.pth", "codec.pth", "-o", "made", "--force"],
    ["convert", "bad.pth", "--codec", "bad.pth", "--dry-run"],
    ["convert", "bad.pth", "--lora", "bad.pth", "--dry-run", "--audit"],
    ["inspect", "bad.pth"],
    ["inspect", "bad.pth", "--json"],
    ["optimize", "bad.pth", "-o", "made.onnx"],
    ["vamp", "bad.pth", "-o", "made.wav", "--bundle", "bundle"],
    ["vamp", "--from-tokens", "bad.pth", "-o", "made.wav", "--bundle", "bundle"],
]


@pytest.fixture
def place(tmp_path, workshop):
    here = tmp_path / "here"
    here.mkdir()
    (here / "bundle").symlink_to(workshop.whole("coarse", "c2f", "codec", "wavebeat"))
    (here / "codec.pth").write_bytes(codec())
    (here / "in.wav").write_bytes(quiet())
    return here


def run(server, place, commands):
    """Run commands under watch; whether anything ran that was in a file."""
    before = state_of(place)
    told = server.ask(place, commands, watch=True)
    assert (told["signal"], len(told["runs"])) == (0, len(commands))
    for command, ran in zip(commands, told["runs"], strict=True):
        assert ran["seen"] == [], command
        assert ran["changed"] == [], command
        assert ran["code"] in (0, 2, 3, 4, 5, 6, 7, 8), (command, ran["err"])
    for name in ("made", "made.onnx", "made.wav"):
        if (place / name).is_dir():
            shutil.rmtree(place / name)
        (place / name).unlink(missing_ok=True)
    assert state_of(place) == before
    return [ran["code"] for ran in told["runs"]]


@pytest.mark.parametrize("holder", HOLDERS)
def test_no_payload_runs(server, place, holder):
    """All payloads in one file, through every command."""
    (place / "bad.pth").write_bytes(HOLDERS[holder](encode(list(map(Raw, PAYLOADS.values())))))
    codes = run(server, place, COMMANDS)
    assert (codes[0] == 0) == (holder in ("metadata", "records")), codes
    assert 0 not in codes[1:3] + codes[5:]


@pytest.mark.parametrize("holder", ["state dict", "metadata", "package", "key"])
def test_no_payload_runs_alone(server, place, holder):
    commands = []
    for number, payload in enumerate(PAYLOADS.values()):
        (place / f"{number}.pth").write_bytes(HOLDERS[holder](payload))
        commands.append(["inspect", f"{number}.pth"])
    codes = run(server, place, commands)
    assert set(codes) == {0 if holder in ("metadata", "package") else 3}


def test_no_whole_pickle_runs(server, place):
    commands = []
    for number, data in enumerate(BROKEN.values()):
        (place / f"{number}.pth").write_bytes(archives.around(data, {"0": bytes(16)}))
        (place / f"{number}.pkl").write_bytes(data)
        commands += [
            [w.replace("bad.pth", f"{number}.{kind}") for w in c] for c in COMMANDS for kind in ("pth", "pkl")
        ]
    assert 0 not in run(server, place, commands)


def test_arrays_run_nothing(server, place):
    header = "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }"
    commands = []
    for number, payload in enumerate(PAYLOADS.values()):
        plain = npy(header, program(Raw(payload)))
        (place / f"{number}.npy").write_bytes(plain)
        (place / f"{number}.npz").write_bytes(npz(plain))
        if number % 9 == 0:
            commands.append(
                ["vamp", "--from-tokens", f"{number}.npz", "-o", "made.wav", "--bundle", "bundle"]
            )
            commands.append(
                [
                    "vamp",
                    "in.wav",
                    "-o",
                    "made.wav",
                    "--mask",
                    f"{number}.npy",
                    "--bundle",
                    "bundle",
                    "--steps",
                    "1",
                ]
            )
            commands.append(
                ["vamp", "in.wav", "-o", "made.wav", "--ctrl", f"a={number}.npy", "--bundle", "bundle"]
            )
    assert set(run(server, place, commands)) <= {2, 3}


def test_models_of_others_run_nothing(server, place):
    """Operators and libraries that a model names, text of Python in it, and files that are not its own."""
    custom = onnx_models.model(
        nodes=[onnx.helper.make_node("Evil", ["x", "w"], ["y"], domain="evil", library="./evil.so")]
    )
    custom.opset_import.add(domain="evil", version=1)
    python = onnx_models.model(
        nodes=[
            onnx.helper.make_node("PyOp", ["x", "w"], ["y"], domain="com.microsoft.extensions", code=SOURCE)
        ]
    )
    python.opset_import.add(domain="com.microsoft.extensions", version=1)
    for number, (key, value) in enumerate(
        {"ort_config": json.dumps({"session_options": {"x": 1}}), "python": SOURCE.decode()}.items()
    ):
        custom.metadata_props.add(key=key, value=value)
        python.metadata_props.add(key=f"{key}{number}", value=value)
    commands = []
    outside = place.parent / "secret.bin"
    outside.write_bytes(b"secret" * 100)
    made = {"custom": custom, "python": python} | {
        f"outside{i}": onnx_models.model(onnx_models.external(location))
        for i, location in enumerate(
            ("../secret.bin", str(outside), "/proc/self/mem", "bundle/../../secret.bin")
        )
    }
    for name, model in made.items():
        (place / f"{name}.onnx").write_bytes(model.SerializeToString())
        commands.append(["optimize", f"{name}.onnx", "-o", "made.onnx", "--force"])
        commands.append(["optimize", f"{name}.onnx", "-o", "made.onnx", "--force", "--opset", "19"])
        commands += [
            ["inspect", f"{name}.onnx"],
            ["convert", f"{name}.onnx"],
            ["vamp", f"{name}.onnx", "-o", "made.wav", "--bundle", "bundle"],
        ]
    codes = run(server, place, commands)
    assert codes[0] == codes[5] == 0
    assert set(codes[10::5]) == {3}


def test_bundles_run_nothing(server, torch_server, place, workshop):
    """A manifest that names plugins, rules and files; a bundle that brings Python files."""
    (place / "bundle").unlink()
    shutil.copytree(workshop.whole("coarse", "c2f", "codec", "wavebeat"), place / "bundle")
    for name in ("evil.py", "sitecustomize.py", "numpy.py", "vampconv_rules.py", "conftest.py"):
        (place / "bundle" / name).write_bytes(SOURCE)
        (place / name).write_bytes(SOURCE)
    path = place / "bundle" / "vampconv.json"
    content = json.loads(path.read_text())
    plugin = {
        "name": "evil",
        "version": "1",
        "distribution": "evil",
        "module": "evil",
        "rules": ["ClassicRMSNorm"],
        "kinds": [],
    }
    content["plugins"] = [plugin, *content["plugins"]]
    content["models"]["coarse"]["rules"]["__import__('os').system('touch canary')"] = 1
    content["vampconv"] = "__import__('os').system('touch canary')"
    path.write_text(json.dumps(content))
    commands = [["inspect", "bundle"], ["rules", "explain", "bundle", "logits"], ["rules", "list"]]
    assert run(server, place, commands) == [0, 0, 0]
    assert run(torch_server, place, [["verify", "bundle", "--lengths", "1", "--batches", "1"]]) == [7]


def test_verify_runs_nothing(torch_server, template, tmp_path):
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(template / "out", here / "bundle")
    (here / "codec.pth").write_bytes(codec())
    commands = []
    for number, payload in enumerate(PAYLOADS.values()):
        (here / f"{number}.pth").write_bytes(in_state(payload)(here))
        commands.append(
            ["verify", "bundle", "--against", f"{number}.pth", "--against", "codec.pth", "--lengths", "1"]
        )
    assert set(run(torch_server, here, commands)) == {3}


def test_the_watch_sees(server, tmp_path):
    """What the hook is for: code of a rule file, which runs because the user names it."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "rule.py").write_text(
        f"import os\nos.system('touch {CANARY}')\neval('1')\nos.environ['X'] = '1'\n"
    )
    told = server.ask(tmp_path, [["rules", "test", "own"]], watch=True)
    seen = " ".join(told["runs"][0]["seen"])
    assert "exec of" in seen
    assert "rule.py" in seen
    assert "os.system" in seen
    assert told["runs"][0]["changed"] == ["X"]
    assert (tmp_path / CANARY).exists()


@pytest.mark.parametrize("name", ["os.system", "getattr chain", "INST", "OBJ", "STACK_GLOBAL", "exec", "map"])
def test_payloads_are_live(tmp_path, name):
    """They run where they are let: otherwise an untouched canary would say nothing."""
    (tmp_path / "p").write_bytes(program(Raw(PAYLOADS[name])))
    code = "import pickle; pickle.load(open('p', 'rb'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=False, capture_output=True)
    assert (tmp_path / CANARY).exists()
