"""The loop with recorded draws gives the original's tokens."""

from __future__ import annotations

import numpy as np
import pytest

from ..common import OPSETS
from .conftest import feeds

TRACES = {
    "coarse_default": "coarse",
    "coarse_cutoff": "coarse",
    "coarse_temp_topp": "coarse",
    "c2f_default": "c2f",
}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("name", TRACES)
def test_every_token(vamp, trace, name, opset):
    found, options, exponential, gumbel = trace(name)
    given = feeds(found["codes"], found["mask"], options, exponential=exponential, gumbel=gumbel)
    (result,) = vamp(TRACES[name], opset).replay.run(None, given)
    np.testing.assert_array_equal(result, found["output"])
    assert (result != found["codes"]).any()


@pytest.mark.parametrize("name", TRACES)
def test_the_first_steps(vamp, trace, name):
    """One step of the trace: what was sampled is seen where the mask stood."""
    found, options, exponential, gumbel = trace(name)
    options.steps = 1
    given = feeds(found["codes"], found["mask"], options, exponential=exponential[:1], gumbel=gumbel[:1])
    model = vamp(TRACES[name])
    (result,) = model.replay.run(None, given)
    batch, predicted = len(result), model.codebooks - model.conditioning
    sampled = found["step0/sampled"].reshape(batch, -1, predicted).transpose(0, 2, 1)
    mask = found["mask"][:, model.conditioning :] != 0
    assert mask.any()
    np.testing.assert_array_equal(result[:, model.conditioning :][mask], sampled[mask])


def test_other_draws_give_other_tokens(vamp, trace):
    found, options, exponential, gumbel = trace("coarse_default")
    model = vamp()
    for draws in ((exponential[::-1], gumbel), (exponential, gumbel[::-1]), (exponential, 0 * gumbel)):
        names = dict(zip(("exponential", "gumbel"), draws, strict=True))
        (result,) = model.replay.run(None, feeds(found["codes"], found["mask"], options, **names))
        assert (result != found["output"]).any()


@pytest.mark.parametrize("options", [{"top_p": 1.0}, {"temperature": 1.0}, {"mask_temperature": 10.5}])
def test_other_options_give_other_tokens(vamp, trace, options):
    found, recorded, exponential, gumbel = trace("coarse_temp_topp")
    for name, value in options.items():
        setattr(recorded, name, value)
    given = feeds(found["codes"], found["mask"], recorded, exponential=exponential, gumbel=gumbel)
    (result,) = vamp().replay.run(None, given)
    assert (result != found["output"]).any()
