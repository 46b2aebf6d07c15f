"""A calibration finds what costs most, by measuring; a conversion keeps what it says."""

from __future__ import annotations

import json

import numpy as np
import pytest

from vampconv.calibrate import Request, calibrate
from vampconv.calibrate.tokens import distance, masked
from vampconv.convert.keep_list import read_keep_list, write_keep_list
from vampconv.errors import BadInputError, InputOutputError, UsageError
from vampconv.runtime.transformer import Transformer

from ..common import GOLDEN, ROOT, manifest

TRAINED = ROOT / "fixtures" / "trained"
LAYERS = [f"transformer.layers.{i}" for i in range(4)]
SIZES = {
    "n_codebooks": 3,
    "n_conditioning_codebooks": 1,
    "vocab_size": 7,
    "ctrl_dims": {},
    "r_cond_dim": 0,
}


def test_what_costs_most_is_kept_until_the_limit_is_met(vampconv, tmp_path):
    keep = tmp_path / "keep.json"
    limit = 1.5e-5
    arguments = ["--steps", "24", "--seeds", "1", "--limit", limit, "--by-layer", "--threads", "1", "--json"]
    coarse, codec = TRAINED / "coarse.pth", TRAINED / "codec.pth"
    ran = vampconv("calibrate", coarse, "--codec", codec, *map(str, arguments), "-o", keep)
    assert ran.code == 0, ran.err
    (found,) = json.loads(ran.out)
    costs = {unit: one["divergence"] for unit, one in found["alone"].items()}
    assert set(costs) == {*LAYERS, "classifier.layers.0"}
    assert all(0 < cost < 1e-3 for cost in costs.values())
    assert found["everything"]["divergence"] > max(costs.values())
    assert found["rest"]["divergence"] <= limit < found["everything"]["divergence"]
    assert found["kept"]
    worst = max(costs, key=costs.get)
    assert found["kept"][0].startswith(worst)
    assert read_keep_list(keep) == [f"coarse/{module}" for module in found["kept"]]

    options = ["--precision", "int8", "--keep-list", keep, "-o", tmp_path / "out", "--codec", codec]
    assert vampconv("convert", coarse, *options).code == 0
    assert set(manifest(tmp_path / "out")["models"]["coarse"]["kept"]) == {
        "embedding.out_proj",
        *found["kept"],
    }


def test_there_must_be_something_to_calibrate():
    with pytest.raises(UsageError, match="nothing that int8 would change"):
        calibrate(Request([GOLDEN / "wavebeat.pth"]))
    with pytest.raises(UsageError, match="--steps"):
        calibrate(Request([GOLDEN / "wavebeat.pth"], steps=0))


def test_tokens_are_masked_where_the_logits_are_read(tmp_path):
    model = Transformer(tmp_path, SIZES)
    music = np.arange(60).reshape(1, 3, 20) % 7
    inputs = list(masked(model, music, 8, 2))
    assert len(inputs) == 6
    for one in inputs:
        assert one.codes.shape == (1, 3, 8)
        assert (one.codes[:, 0] < 7).all()
        np.testing.assert_array_equal(one.rows, (one.codes[:, 1:] == 7).transpose(0, 2, 1).reshape(1, -1))
        assert any(
            (np.where(one.codes == 7, music[..., i : i + 8], one.codes) == music[..., i : i + 8]).all()
            for i in range(13)
        )
    shares = [one.rows.mean() for one in inputs]
    assert shares[0] > shares[1] > shares[2]
    assert [one.codes.shape[-1] for one in masked(model, music, 99, 1)] == [20] * 3


def test_a_distance_is_that_of_its_definition():
    p, q = np.log([[0.5, 0.5], [0.9, 0.1]]), np.log([[0.5, 0.5], [0.4, 0.6]])
    found = distance([p], [q])
    assert found.divergence == pytest.approx((0.9 * np.log(0.9 / 0.4) + 0.1 * np.log(0.1 / 0.6)) / 2)
    assert found.agreement == 0.5


@pytest.mark.parametrize(
    "content", ["", "[]", '{"format": 2, "fp32": {}}', '{"format": 1, "fp32": {"coarse": [3]}}']
)
def test_a_file_that_is_no_keep_list(tmp_path, content):
    path = tmp_path / "keep.json"
    path.write_text(content)
    with pytest.raises(BadInputError, match=r"keep\.json is no keep-list"):
        read_keep_list(path)
    with pytest.raises(InputOutputError, match="cannot be read"):
        read_keep_list(tmp_path / "other.json")
    with pytest.raises(InputOutputError, match="cannot be written"):
        write_keep_list(tmp_path / "no" / "keep.json", {})
