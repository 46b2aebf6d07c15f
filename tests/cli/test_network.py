"""No command asks anyone: whoever makes a socket, in Python or below, is killed."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from vampconv.bench.system_calls import supported
from vampconv.runtime.audio.files import write_wav

pytestmark = pytest.mark.skipif(not supported(), reason="calls cannot be forbidden here")

COMMANDS = """
import contextlib, io, sys
from vampconv.bench.system_calls import forbid_sockets
forbid_sockets()
from vampconv.cli import cli
from vampconv.process import run
for line in sys.stdin:
    with contextlib.redirect_stdout(io.StringIO()):
        code = run(cli, line.split())
    print(code, line.strip(), flush=True)
"""


def test_sockets_are_forbidden_here():
    code = "from vampconv.bench.system_calls import forbid_sockets; forbid_sockets(); import socket; socket.socket()"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -31


def test_every_command_without_a_socket(workshop, tmp_path):
    place = workshop.pair()
    whole = workshop.whole("coarse", "c2f", "codec")
    write_wav(
        tmp_path / "in.wav", np.random.default_rng(0).normal(0, 0.1, (1, 3000)).astype(np.float32), 44100
    )
    commands = [
        f"convert {place / 'coarse.pth'} -o b --audit",
        f"convert {place / 'coarse.pth'} -o b --force --verify",
        f"inspect {place / 'coarse.pth'}",
        "inspect b --check",
        "inspect b --run",
        f"verify b --against {place} --lengths 1 --batches 1 --html r.html",
        "optimize b/coarse.onnx -o o.onnx",
        f"vamp in.wav -o out.wav --bundle {whole} --steps 1 --seed 0 --plot p.html",
        "rules list",
        "rules test StandardRMSNorm",
    ]
    home = tmp_path / "home"
    home.mkdir()
    ran = subprocess.run(
        [sys.executable, "-c", COMMANDS],
        input="\n".join(commands),
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
        timeout=300,
        env={
            "HOME": str(home),
            "PATH": "/usr/bin:/bin",
            "OMP_NUM_THREADS": "1",
            "MPLCONFIGDIR": str(tmp_path / "mpl"),
        },
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [f"0 {command}" for command in commands], ran.stderr
    assert list(home.iterdir()) == []


def test_the_runtime_reports_to_nobody(workshop, tmp_path):
    """ONNX Runtime would leave a device's name and a queue of reports in the home of a program that uses it."""
    bundle = workshop.bundle("coarse", "codec")
    code = (
        "import sys; from vampconv.bench.system_calls import forbid_sockets; forbid_sockets()\n"
        "from vampconv.runtime.parts import Parts; Parts(sys.argv[1], 1, check_hashes=False).coarse"
    )
    env = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    ran = subprocess.run(
        [sys.executable, "-c", code, bundle], env=env, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert list(tmp_path.iterdir()) == []
