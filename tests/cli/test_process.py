"""The command as a process: imports, signals, closed streams, encodings."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import onnx
import pytest

from vampconv.convert import Request, convert

VAMPCONV = [sys.executable, "-m", "vampconv"]
HEAVY = ("torch", "onnxruntime", "onnxscript", "onnx", "numpy")
PROBE = """
import sys
sys.argv[0] = "vampconv"
from vampconv.cli import main
try:
    main()
finally:
    print(*sorted(n for n in sys.modules if "." not in n), file=sys.stderr)
"""
BLOCKER = """
import sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "onnxruntime", "vampnet", "audiotools", "lac"):
            raise ImportError(f"{name} must not be needed")
sys.meta_path.insert(0, Finder())
from vampconv.cli import main
main()
"""


def modules(code, *arguments, cwd):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, check=True, timeout=60)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["convert", "--help"], ["vamp", "--help"], ["inspect", "--help"], ["--version"]]
)
def test_help_imports_nothing_heavy(tmp_path, arguments):
    loaded = set(modules(PROBE, *arguments, cwd=tmp_path).stderr.split())
    assert "click" in loaded
    assert loaded.isdisjoint(HEAVY)


def test_help_is_quick(child):
    child("--help")
    best = min(timed(child, "--help") for _ in range(3))
    bare = min(timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)) for _ in range(3))
    assert best - bare < 1.0


def timed(call, *arguments):
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def test_a_conversion_needs_no_torch(workshop, tmp_path):
    tables = ("--codec", workshop.golden / "codec.pth")
    tuned = (workshop.golden / "coarse.pth", "--lora", workshop.golden / "coarse_lora.pth")
    run = modules(PROBE, "convert", *tuned, *tables, cwd=tmp_path)
    loaded = set(run.stderr.split())
    assert "onnx" in loaded
    assert loaded.isdisjoint({"torch", "onnxruntime"})


def test_a_conversion_with_torch_and_the_runtime_unimportable(workshop, tmp_path):
    files = workshop.all_kinds()
    modules(BLOCKER, "convert", *files, "-o", "out", cwd=tmp_path)
    wanted = workshop.bundle(*files)
    assert {"coarse.onnx", "encoder.onnx", "decoder.onnx", "wavebeat.onnx"} < {
        p.name for p in wanted.iterdir()
    }
    for path in wanted.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
    modules(BLOCKER, "inspect", files[0], cwd=tmp_path)
    modules(BLOCKER, "inspect", "out", cwd=tmp_path)


@pytest.fixture(scope="module")
def big(workshop):
    """A checkpoint that takes a while to convert (70 MB)."""
    place = workshop.place()
    config = replace(workshop.tiny, n_layers=8, embedding_dim=512, n_heads=8)
    workshop.model(place, config)
    workshop.codec(place, config)
    return place


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
@pytest.mark.parametrize("over", [False, True], ids=["new", "over an earlier bundle"])
def test_signals_while_it_writes(workshop, big, tmp_path, tree, sent, code, over):
    if over:
        convert(Request([workshop.pair() / "coarse.pth"], tmp_path / "out"))
    before = tree(tmp_path)
    command = [*VAMPCONV, "convert", big / "coarse.pth", "-o", "out", "--force"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while not any(p.stat().st_size > 1 << 20 for p in tmp_path.glob(".out.vampconv-*/*.data")):
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(sent)
        out, err = process.communicate(timeout=30)
    assert process.returncode == code, err
    assert "Traceback" not in err
    assert out == ""
    assert tree(tmp_path) == before


SIGNALLED = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name in ("numpy.linalg", "onnx.checker"):
            os.kill(os.getpid(), int(sys.argv[1]))
sys.meta_path.insert(0, Finder())
from vampconv.cli import main
main(sys.argv[2:])
"""


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_in_the_middle_of_an_import(workshop, tmp_path, sent, code):
    """Extension modules break, or lose them."""
    command = [sys.executable, "-c", SIGNALLED, str(int(sent)), "convert", workshop.pair() / "coarse.pth"]
    run = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (run.returncode, run.stdout, run.stderr.strip()) == (code, "", "")
    assert list(tmp_path.iterdir()) == []


def test_killed_while_it_writes_and_then_run_again(big, tmp_path):
    command = [*VAMPCONV, "convert", big / "coarse.pth", "-o", "out"]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        while not any(tmp_path.glob(".out.vampconv-*/*.data")):
            assert process.poll() is None
            time.sleep(0.002)
        process.kill()
    assert not (tmp_path / "out").exists()
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


BUFFERED, UNBUFFERED = {}, {"PYTHONUNBUFFERED": "1"}
"""Where a pipe without a reader is met: as the process ends, or at once."""


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        (["convert", "coarse.pth", "--force"], BUFFERED),
        (["convert", "coarse.pth", "--force"], UNBUFFERED),
        (["convert", "coarse.pth", "--force", "--json"], UNBUFFERED),
        (["inspect", "coarse.pth"], UNBUFFERED),
        (["inspect", "coarse.pth", "--json"], BUFFERED),
        (["--help"], BUFFERED),
        (["--help"], UNBUFFERED),
    ],
)
def test_a_reader_that_goes_away(workshop, arguments, env):
    place = workshop.pair()
    reader, writer = os.pipe()
    os.close(reader)
    run = subprocess.run(
        [*VAMPCONV, *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        cwd=place,
        check=False,
        env=os.environ | env,
    )
    os.close(writer)
    assert (run.returncode, run.stderr) == (0, "")
    if arguments[0] == "convert":
        assert (place / "coarse-onnx" / "vampconv.json").exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams(workshop, closed):
    place = workshop.pair()
    command = f'"$@" {closed}'
    run = subprocess.run(
        ["sh", "-c", command, "sh", *VAMPCONV, "convert", "coarse.pth"],
        capture_output=True,
        text=True,
        cwd=place,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    assert json.loads((place / "coarse-onnx" / "vampconv.json").read_text())["models"]
    again = subprocess.run(
        ["sh", "-c", command, "sh", *VAMPCONV, "convert", "--opset", "none"],
        capture_output=True,
        cwd=place,
        check=False,
    )
    assert again.returncode == 2


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no /dev/full")  # noqa: PTH110
@pytest.mark.parametrize("extra", [[], ["--json"]])
def test_results_that_cannot_be_written(workshop, extra):
    place = workshop.pair()
    with open("/dev/full", "w") as full:  # noqa: PTH123
        run = subprocess.run(
            [*VAMPCONV, "convert", "coarse.pth", *extra],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=place,
            check=False,
        )
    assert run.returncode == 6
    assert run.stderr.startswith("vampconv: error[6]: No space left on device")
    assert run.stderr.count("\n") == 1


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8", "cp1252"])
def test_encodings(workshop, child, encoding):
    """All that is put out in the poorest of them, and of the others what holds the most kinds of characters."""
    place = workshop.pair()
    (place / "coarse.pth").rename(place / "größe-音.pth")
    convert = ["convert", "größe-音.pth", "codec.pth"]
    for arguments in ([convert] if encoding == "ascii" else []) + [["inspect", "größe-音.pth"]]:
        run = child(*arguments, cwd=place, env={"PYTHONIOENCODING": encoding}, text=False)
        assert (run.returncode, run.stderr) == (0, b"")
        run.stdout.decode(encoding)
    if encoding == "ascii":
        run = child("inspect", "größe-音.pth", "--json", cwd=place, env={"PYTHONIOENCODING": encoding})
        assert json.loads(run.stdout)["file"] == "größe-音.pth"
    run = child("inspect", "größe-音", cwd=place, env={"PYTHONIOENCODING": encoding}, text=False)
    assert run.returncode == 6
    assert run.stderr.count(b"\n") == 1


def test_no_warnings(workshop, child):
    place = workshop.pair()
    env = {"PYTHONWARNINGS": "error", "PYTHONDEVMODE": "1"}
    run = child("convert", "coarse.pth", cwd=place, env=env)
    assert (run.returncode, run.stderr) == (0, "")
    run = child("inspect", "coarse-onnx", "--run", cwd=place, env=env)
    assert (run.returncode, run.stderr) == (0, "")


def test_a_progress_bar_only_on_a_terminal(workshop):
    place = workshop.pair()
    controller, terminal = os.openpty()
    run = subprocess.run(
        [*VAMPCONV, "convert", "coarse.pth"],
        stdout=subprocess.PIPE,
        stderr=terminal,
        cwd=place,
        check=True,
        env=os.environ | {"TERM": "xterm"},
    )
    os.close(terminal)
    shown = b""
    try:
        while piece := os.read(controller, 65536):
            shown += piece
    except OSError:
        pass
    os.close(controller)
    assert b"converting" in shown
    assert b"converting" not in run.stdout
    assert run.stdout.startswith(b"wrote")
    plain = subprocess.run(
        [*VAMPCONV, "convert", "coarse.pth", "--force"], capture_output=True, cwd=place, check=True
    )
    assert plain.stderr == b""


def test_libraries_do_not_write_to_stderr(workshop, child, tmp_path):
    """onnx_ir warns about a model with a weight too few."""
    bundle = tmp_path / "bundle"
    bundle.mkdir()
    for path in workshop.bundle("coarse", "codec").iterdir():
        (bundle / path.name).write_bytes(path.read_bytes())
    model = onnx.load(bundle / "coarse.onnx", load_external_data=False)
    biggest = max(model.graph.initializer, key=lambda t: math.prod(t.dims))
    model.graph.initializer.remove(biggest)
    (bundle / "coarse.onnx").write_bytes(model.SerializeToString())
    for extra in ([], ["--run"]):
        run = child("inspect", bundle, *extra)
        assert (run.returncode, run.stdout) == (6, "")
        assert run.stderr.count("\n") == 1


def test_onnx_runtime_leaves_nothing_in_the_home(workshop, child, tmp_path, monkeypatch):
    """By itself it writes a device's name and a queue of reports there."""
    bundle = workshop.bundle("coarse", "codec")
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    for arguments, code in ((("inspect", bundle, "--run"), 0), (("convert", "none", "--opset", "18"), 6)):
        assert child(*arguments, env={"HOME": str(tmp_path)}).returncode == code
    assert not list(tmp_path.iterdir())
