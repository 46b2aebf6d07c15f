"""How outputs agree, and what is told of it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampconv.bench.agreement import agreement, told


def test_codes_audio_and_logits():
    random = np.random.default_rng(0)
    codes = random.integers(0, 9, (1, 4, 25))
    other = codes.copy()
    other[0, 0, 0] += 1
    assert agreement("encoder", other, codes) == {"equal": 0.99}
    logits = random.standard_normal((2, 300, 11)).astype(np.float32)
    shifted = (logits + random.standard_normal(logits.shape)).astype(np.float32)
    found = agreement("coarse", shifted, logits)
    p, q = (torch.log_softmax(torch.from_numpy(x).double(), -1) for x in (logits, shifted))
    wanted = torch.nn.functional.kl_div(
        q.flatten(0, 1), p.flatten(0, 1), reduction="batchmean", log_target=True
    )
    assert found["kl"] == pytest.approx(float(wanted))
    assert found["top1"] == float((logits.argmax(-1) == shifted.argmax(-1)).mean())
    assert found["error"] == pytest.approx(1.0, rel=0.05)
    assert agreement("coarse", logits, logits) == {"error": 0, "top1": 1, "kl": 0}
    assert told(found).startswith(f"{found['error']:.1e}, top-1 ")
    assert set(agreement("decoder", shifted, logits)) == {"error"}


def test_other_shapes_do_not_agree():
    with pytest.raises(ValueError, match=r"\[2\]"):
        agreement("decoder", np.zeros(2), np.zeros(3))
