"""A third-party package, installed by pip into a directory of its own that is on the path for one test."""

from __future__ import annotations

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from vampconv.dialect import OPS

PACKAGE = Path(__file__).parent / "onset"


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    """Where the package is installed."""
    place = tmp_path_factory.mktemp("third-party")
    shutil.copytree(PACKAGE, place / "source", ignore=shutil.ignore_patterns("__pycache__"))
    offline = ["--no-index", "--no-deps", "--no-build-isolation", "--disable-pip-version-check"]
    command = [sys.executable, "-m", "pip", "install", "-q", *offline, "--target", place / "site"]
    done = subprocess.run([*command, place / "source"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return place / "site"


@pytest.fixture
def onset(site, monkeypatch):
    """Imports modules of the installed package; afterwards it is as if it had never been there."""
    known = dict(OPS)
    monkeypatch.syspath_prepend(str(site))
    yield lambda name="": importlib.import_module(f"vampconv_onset{name}")
    for name in [n for n in sys.modules if n.partition(".")[0] == "vampconv_onset"]:
        del sys.modules[name]
    OPS.clear()
    OPS.update(known)


@pytest.fixture(scope="session")
def checkpoint(site, tmp_path_factory):
    """A detector with random weights."""
    path = tmp_path_factory.mktemp("onset") / "detector.pth"
    sys.path.insert(0, str(site))
    try:
        state = torch.random.get_rng_state()
        torch.manual_seed(0)
        model = importlib.import_module("vampconv_onset.reference").OnsetDetector()
        torch.random.set_rng_state(state)
        torch.save(model.state_dict(), path)
    finally:
        sys.path.remove(str(site))
        for name in [n for n in sys.modules if n.partition(".")[0] == "vampconv_onset"]:
            del sys.modules[name]
        OPS.pop("GatedLinearUnit", None)
    return path


@pytest.fixture
def place(checkpoint, tmp_path, monkeypatch):
    """A directory with the checkpoint, which is the current one."""
    shutil.copy(checkpoint, tmp_path / "detector.pth")
    monkeypatch.chdir(tmp_path)
    return tmp_path
