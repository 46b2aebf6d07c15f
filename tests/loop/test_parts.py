"""Schedule, filter and re-masking, each on its own."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
import pytest

from vampconv.loop import schedule
from vampconv.loop.body import port
from vampconv.loop.masking import least_confident
from vampconv.loop.sampling import nucleus

from .graphs import compiled
from .numpy_loop import nucleus as numpy_nucleus

INT, FLOAT, BOOL = ir.DataType.INT64, ir.DataType.FLOAT, ir.DataType.BOOL
UNBOUND = 10**9


@pytest.fixture(scope="module")
def numbers():
    ports = {"step": port("step", INT, []), "steps": port("steps", INT, []), "count": port("count", INT, [])}
    ports |= {"masked": port("masked", INT, ["batch", 1]), "is_last": port("is_last", BOOL, [])}

    def build(op, step, steps, count, masked, is_last):
        return schedule.to_mask(op, schedule.progress(op, step, steps), count, masked, is_last)

    return compiled(build, ports)


def test_the_recorded_schedule(workshop, numbers):
    rows = workshop.recorded("schedule")["steps_i_N_k"].astype(np.int64)
    assert len(rows) > 15_000
    wrong = [
        (steps, step, count, wanted)
        for steps, step, count, wanted in rows.tolist()
        if numbers(step=step, steps=steps, count=count, masked=[[UNBOUND]], is_last=True)[0, 0] != wanted
    ]
    assert wrong == []


def test_bounds_before_the_last_step(numbers):
    few = numbers(step=0, steps=12, count=2300, masked=[[5], [1], [0]], is_last=False)
    assert few.tolist() == [[4], [1], [1]]
    none = numbers(step=11, steps=12, count=2300, masked=[[5]], is_last=True)
    assert none.tolist() == [[0]]


def test_equal_confidences_are_all_kept():
    ports = {
        "confidence": port("confidence", FLOAT, ["batch", "rows"]),
        "count": port("count", INT, ["batch", 1]),
    }
    run = compiled(lambda op, confidence, count: least_confident(op, confidence, count), ports)
    confidence = np.array([[3, 1, 2, 2, 2, np.inf], [0, 0, 0, 0, 0, -1], [np.inf] * 6], np.float32)
    for count in range(6):
        counts = np.full((3, 1), count)
        threshold = np.sort(confidence, -1)[:, [count]]
        np.testing.assert_array_equal(run(confidence=confidence, count=counts), confidence < threshold)
    again = run(confidence=confidence, count=np.array([[3], [1], [1]]))
    assert again.sum(1).tolist() == [1, 1, 0]
    assert run(confidence=confidence[:, :1], count=np.array([[1]] * 3)).tolist() == [[False]] * 3


@pytest.mark.parametrize("top_p", [0.0, 1e-6, 0.5, 0.9, 0.999, 1.0, 2.0])
def test_nucleus(top_p):
    ports = {"logits": port("logits", FLOAT, ["batch", "rows", 64]), "top_p": port("top_p", FLOAT, [])}
    run = compiled(lambda op, logits, top_p: nucleus(op, logits, top_p, 64), ports)
    logits = (3 * np.random.default_rng(0).standard_normal((2, 50, 64))).astype(np.float32)
    found = run(logits=logits, top_p=np.float32(top_p))
    np.testing.assert_array_equal(found, numpy_nucleus(logits, top_p) if top_p < 1 else logits)
    kept = np.isfinite(found).sum(-1)
    assert kept.min() >= 1
    assert (kept.max() == 1) == (top_p < 1e-3)
