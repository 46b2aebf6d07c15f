"""ONNX's own node tests: none is refused, and each model computes the same, bit for bit where no rule fired."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

from vampconv.optimize import Request, optimize

from .running import session

LEAST = 1800
"""Models of the corpus; most of them run in ONNX Runtime."""


@pytest.fixture(scope="module")
def corpus():
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return load_model_tests(kind="node")


def equal(one, other):
    if isinstance(one, list):
        return len(one) == len(other) and all(map(equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(equal(one[k], other[k]) for k in one)
    if isinstance(one, np.ndarray):
        same = (one.dtype, one.shape) == (other.dtype, other.shape)
        return same and (
            one.tolist() == other.tolist() if one.dtype == object else one.tobytes() == other.tobytes()
        )
    return one == other


def close(one, other):
    return all(np.allclose(a, b, rtol=1e-5, atol=1e-5) for a, b in zip(one, other, strict=True))


def results(ready, inputs):
    """What a session puts out, or None where ONNX Runtime does not run it."""
    names = [i.name for i in ready.get_inputs()]
    try:
        return ready.run(None, dict(zip(names, inputs, strict=True)))
    except Exception:  # noqa: BLE001  # it raises what it likes, and what it cannot run is not compared
        return None


def is_well_typed(path):
    try:
        onnx.checker.check_model(path, full_check=True)
    except onnx.shape_inference.InferenceError:
        return False
    return True


def opened(path):
    try:
        return session(path)
    except Exception:  # noqa: BLE001  # as above
        return None


def test_every_model_is_taken_and_computes_the_same(corpus, tmp_path):
    source, output = tmp_path / "in.onnx", tmp_path / "out.onnx"
    rules = Request(source, output).rules()
    wrong, compared = {}, 0
    for case in corpus:
        source.write_bytes(case.model.SerializeToString())
        found = optimize(Request(source, output, force=True), rules)
        onnx.checker.check_model(str(output), full_check=is_well_typed(str(source)))
        before = opened(source)
        if before is None:
            continue
        after = session(output)
        for inputs, _ in case.data_sets:
            wanted = results(before, inputs)
            if wanted is None:
                continue
            got = results(after, inputs)
            if got is None or not (close if found.rules else equal)(wanted, got):
                wrong[case.name] = found.rules
            compared += 1
    assert wrong == {}
    assert len(corpus) > LEAST
    assert compared > len(corpus) * 2 / 3
