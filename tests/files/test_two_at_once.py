"""Two runs with one output: both end well, and what stands is of one of them."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import onnx
import pytest

from vampconv.runtime.audio.files import write_wav

from ..optimize import models


def both(child, place, *commands):
    with ThreadPoolExecutor(2) as pool:
        return [run.result() for run in [pool.submit(child, *c, cwd=place) for c in commands]]


def test_two_vamps(child, workshop, tmp_path):
    bundle = workshop.whole("coarse", "c2f", "codec")
    write_wav(
        tmp_path / "in.wav", np.random.default_rng(0).normal(0, 0.1, (1, 3000)).astype(np.float32), 44100
    )
    command = (
        "vamp",
        "in.wav",
        "--bundle",
        bundle,
        "--steps",
        1,
        "-o",
        "o.wav",
        "--save-tokens",
        "o.npz",
        "--force",
    )
    ended = both(child, tmp_path, (*command, "--seed", 1), (*command, "--seed", 2))
    assert [run.returncode for run in ended] == [0, 0], [run.stderr for run in ended]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "o.npz", "o.wav"]
    assert np.load(tmp_path / "o.npz")["seed"] in (1, 2)


@pytest.mark.parametrize("force", [True, False])
def test_two_optimisations(child, tmp_path, force):
    (tmp_path / "in.onnx").write_bytes(models.rms_norm().SerializeToString())
    command = ("optimize", "in.onnx", "-o", "o.onnx", *(["--force"] if force else []))
    ended = both(child, tmp_path, command, command)
    codes = sorted(run.returncode for run in ended)
    assert codes == [0, 0] if force else codes in ([0, 0], [0, 6]) and codes != [0, 0]
    onnx.checker.check_model(tmp_path / "o.onnx", full_check=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.onnx", "o.onnx"]
