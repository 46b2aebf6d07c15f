"""The same checkpoints give the same bytes, on every machine, in every place, at every time."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from vampconv.convert import Request, convert
from vampconv.runtime.audio.files import write_wav

ENVIRONMENTS = [
    {"OPENBLAS_CORETYPE": "Prescott", "OPENBLAS_NUM_THREADS": "1", "PYTHONHASHSEED": "0"},
    {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2", "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo"},
    {"OPENBLAS_CORETYPE": "SkylakeX", "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "2", "PYTHONOPTIMIZE": "2"},
    {"OPENBLAS_CORETYPE": "Zen", "OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "3", "LC_ALL": "C"},
    {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "MKL_NUM_THREADS": "1"},
    {"NPY_DISABLE_CPU_FEATURES": "AVX512F AVX512CD AVX512_SKX", "LANG": "de_DE.UTF-8", "COLUMNS": "20"},
]


def digests(bundle):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(bundle.iterdir())}


@pytest.fixture(scope="module")
def files(workshop):
    return workshop.all_kinds()


@pytest.fixture(scope="module")
def wanted(workshop, files):
    return digests(workshop.bundle(*files, loras=[workshop.golden / "coarse_lora.pth"]))


@pytest.fixture(scope="module")
def arguments(workshop, files):
    return [*files, "--lora", workshop.golden / "coarse_lora.pth"]


@pytest.mark.parametrize("env", ENVIRONMENTS, ids=lambda env: "-".join(env.values()))
def test_other_processors_threads_and_locales(child, tmp_path, arguments, wanted, env):
    """Each as another user with another umask, too."""
    if "NPY_DISABLE_CPU_FEATURES" in env:
        have = subprocess.run(
            [sys.executable, "-c", "import numpy"], env=env, capture_output=True, text=True, check=False
        )
        if have.returncode or have.stderr:  # numpy refuses to disable what this processor has not
            env = {k: v for k, v in env.items() if k != "NPY_DISABLE_CPU_FEATURES"}
    output = tmp_path / "-".join(env)[:40]
    user = {"HOME": str(tmp_path / "home"), "USER": "someone", "LOGNAME": "someone"}
    ended = child("convert", *arguments, "-o", output, env=env | user, cwd=tmp_path, umask=0o077)
    assert ended.returncode == 0, ended.stderr
    assert digests(output) == wanted


def test_two_processes_at_once(child, tmp_path, arguments, wanted):
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(child, "convert", *arguments, "-o", f"out{i}", cwd=tmp_path) for i in range(2)]
    assert [run.result().returncode for run in runs] == [0, 0]
    assert digests(tmp_path / "out0") == digests(tmp_path / "out1") == wanted


def test_two_processes_at_once_at_one_output(child, tmp_path, arguments, wanted):
    with ThreadPoolExecutor(2) as pool:
        order = ["convert", *arguments, "-o", "out", "--force"]
        runs = [pool.submit(child, *order, cwd=tmp_path) for _ in range(2)]
    assert [run.result().returncode for run in runs] == [0, 0]
    assert digests(tmp_path / "out") == wanted
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_twice_in_one_process(workshop, tmp_path, files, wanted):
    request = Request(
        files[::-1],
        tmp_path / "a",
        loras=[workshop.golden / "coarse_lora.pth"],
    )
    convert(request)
    convert(replace(request, output=tmp_path / "b"))
    convert(replace(request, output=tmp_path / "b", force=True))
    assert digests(tmp_path / "a") == digests(tmp_path / "b") == wanted


@pytest.mark.parametrize("opset", [18, 23])
def test_other_opsets(workshop, child, tmp_path, opset):
    env = {"OPENBLAS_CORETYPE": "Prescott", "PYTHONHASHSEED": "7"}
    files = [workshop.golden / "coarse_film.pth", *workshop.all_kinds()[1:]]
    ended = child("convert", *files, "--opset", opset, "-o", tmp_path / "out", env=env)
    assert ended.returncode == 0, ended.stderr
    assert digests(tmp_path / "out") == digests(workshop.bundle(*files, opset=opset))


def test_checkpoints_in_another_place_of_another_time(child, tmp_path, files, workshop, wanted):
    """Linked files, relative paths, another directory to work in."""
    place = tmp_path / "größe with space"
    place.mkdir()
    for path in (*files, workshop.golden / "coarse_lora.pth"):
        shutil.copyfile(path, place / path.name)
        os.utime(place / path.name, (0, 1e9))
    (tmp_path / "linked").symlink_to(place)
    names = [f"../linked/{path.name}" for path in files]
    ended = child("convert", *names, "--lora", place / "coarse_lora.pth", "-o", "out", cwd=place)
    assert ended.returncode == 0, ended.stderr
    assert digests(place / "out") == wanted


OTHER = [
    {"OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "1", "TZ": "Asia/Tokyo", "LC_ALL": "C"},
    {"OMP_NUM_THREADS": "2", "PYTHONHASHSEED": "2", "TZ": "UTC", "LC_ALL": "C.UTF-8", "HOME": "/nowhere"},
]


def test_what_else_is_written(child, workshop, tmp_path):
    """An optimised model, sound and tokens."""
    bundle, audio = workshop.whole("coarse", "c2f", "codec"), tmp_path / "in.wav"
    write_wav(audio, np.random.default_rng(0).normal(0, 0.1, (1, 4000)).astype(np.float32), 44100)
    made = []
    for number, env in enumerate(OTHER):
        place = tmp_path / str(number)
        place.mkdir()
        optimized = ("optimize", bundle / "coarse.onnx", "-o", "o.onnx")
        sound = ("vamp", audio, "--bundle", bundle, "--seed", 1, "--steps", 1, "-o", "o.flac")
        for command in (optimized, (*sound, "--save-tokens", "o.npz")):
            ended = child(*command, env=env, cwd=place)
            assert ended.returncode == 0, ended.stderr
        made.append(digests(place))
    assert made[0] == made[1]
    assert made[0].keys() == {"o.onnx", "o.onnx.data", "o.flac", "o.npz"}
