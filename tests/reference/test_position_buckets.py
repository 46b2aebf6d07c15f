"""The table of position buckets is T5's formula in float32, wherever that formula is evaluated."""

from __future__ import annotations

import math

import pytest
import torch

from vampconv.reference.attention import BUCKET_STARTS, RelativePositionBias, relative_position_bucket


def log_formula(offset: torch.Tensor) -> torch.Tensor:
    """Raffel et al. 2020, bidirectional, 32 buckets, maximal distance 128, in float32."""
    distance = offset.abs()
    spread = torch.log(distance.float() / 8) / math.log(128 / 8) * 8
    far = 8 + torch.where(distance > 0, spread, 0.0).long()
    return torch.where(offset > 0, 16, 0) + torch.where(distance < 8, distance, far.clamp(max=15))


def test_buckets_equal_the_log_formula():
    offset = torch.arange(-5000, 5001)
    assert [relative_position_bucket(n) for n in offset.tolist()] == log_formula(offset).tolist()


def test_thresholds_are_where_the_formula_steps():
    buckets = log_formula(-torch.arange(0, 5001))
    steps = (buckets.diff() > 0).nonzero().flatten() + 1
    assert tuple(steps.tolist()) == BUCKET_STARTS


@pytest.mark.parametrize("time", [1, 2, 91, 92, 93, 300])
def test_bias_is_the_row_of_the_bucket(time):
    bias = RelativePositionBias(heads=3)
    torch.nn.init.normal_(bias.weight)
    position = torch.arange(time)
    wanted = bias.weight[log_formula(position[None, :] - position[:, None])]
    assert torch.equal(bias(time), wanted)
