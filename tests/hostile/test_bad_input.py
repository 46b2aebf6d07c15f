"""Every bad input: its exit code, one line that names cause and mend, nothing new, nothing lost, at once."""

from __future__ import annotations

import subprocess
import sys
import zlib
from dataclasses import replace

import pytest

from ..common import LINE
from . import (
    audio_files,
    bundles,
    code,
    containers,
    models,
    onnx_models,
    packages,
    plugin_files,
    structure,
    tensors,
    zips,
)
from .case import BOTH, CONVERT
from .runner import failures, state_of

CORPUS = {
    "container": containers.CASES,
    "zip": zips.CASES,
    "pickle code": code.CASES,
    "pickle structure": structure.CASES,
    "tensor": tensors.CASES,
    "model": models.CASES,
    "package": packages.CASES,
    "ONNX": onnx_models.CASES,
    "plugin": plugin_files.CASES,
    "audio": audio_files.CASES,
    "bundle": bundles.CASES,
}
CASES = [pytest.param(case, id=f"{kind}: {case.name}") for kind, cases in CORPUS.items() for case in cases]


def test_there_are_enough():
    assert all(len(cases) >= 15 for cases in CORPUS.values())
    assert len(CASES) > 350
    for cases in (*CORPUS.values(), bundles.VERIFIED):
        assert len({case.name for case in cases}) == len(cases)


def thinned(case):
    """``inspect`` reads as ``convert`` does: every fourth case, by its name, shows that."""
    both = case.commands != BOTH or zlib.crc32(case.name.encode()) % 4 == 0
    return case if both else replace(case, commands=BOTH[:1])


@pytest.mark.parametrize("case", CASES)
def test_bad_input(case, directory, server):
    case = thinned(case)
    assert failures(case, directory(case), server) == []


@pytest.mark.parametrize("case", bundles.VERIFIED, ids=lambda case: case.name)
def test_bad_input_of_verify(case, directory, torch_server):
    assert failures(case, directory(case), torch_server) == []


SAMPLE = ("zip: record that lies over another", "pickle structure: bomb of sets")


@pytest.mark.parametrize("case", [p for p in CASES if p.id in SAMPLE])
def test_in_a_process_of_its_own(case, directory):
    """A few once more as they are typed, with all that starting Python brings."""
    place = directory(case)
    data = case.make(place)
    if isinstance(data, bytes):
        (place / "model.pth").write_bytes(data)
    before = state_of(place)
    for command in (CONVERT,):
        ran = subprocess.run(
            [sys.executable, "-m", "vampconv", *command],
            capture_output=True,
            text=True,
            cwd=place,
            check=False,
        )
        assert (ran.returncode, ran.stdout) == (case.code, "")
        assert LINE.fullmatch(ran.stderr), ran.stderr
    assert state_of(place) == before
