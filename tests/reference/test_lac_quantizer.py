"""What decides between two codes: scores, margins, ties, rows that have no direction."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec

CONFIG = LACConfig(
    encoder_dim=2,
    encoder_rates=(2, 2),
    decoder_dim=8,
    decoder_rates=(4,),
    codebook_dims=(3, 3, 5),
    codebook_size=9,
)
TABLE = "quantizer.quantizers.1.codebook.weight"


@pytest.fixture
def state():
    return random_codec(CONFIG, seed=3)


def build(state, dtype=torch.float32):
    return LACReference.from_state_dict(state, CONFIG.to_kwargs(), dtype)


def test_the_recorded_codes_win_by_a_margin(workshop):
    saved = workshop.load("codec")
    model = LACReference.from_state_dict(saved["state_dict"], saved["metadata"]["kwargs"])
    for name in ("codec_n3841", "codec_n5376", "codec_n6911"):
        arrays = {key: torch.from_numpy(array) for key, array in workshop.recorded(name).items()}
        scores = model.quantizer.judge(arrays["z"], arrays["codes"])
        assert scores.best.dtype == torch.float64
        assert torch.equal(scores.chosen, scores.best)
        assert (scores.best - scores.second).min() > 1e-3  # measured: 2.0e-3


def test_scores_are_cosines(state):
    model = build(state, torch.float64)
    encoded = model.encode(torch.randn(2, 1, 37, dtype=torch.float64))
    scores = build(state).quantizer.judge(encoded["z"], encoded["codes"])
    at = 0
    for i, quantizer in enumerate(model.quantizer.quantizers):
        dim = CONFIG.codebook_dims[i]
        latents = encoded["latents"][:, at : at + dim].transpose(1, 2)
        cosines = cosine_similarity(latents[:, :, None], quantizer.codebook.weight, dim=-1)
        best, second = cosines.sort(-1, descending=True).values[..., :2].unbind(-1)
        assert torch.equal(cosines.argmax(-1), encoded["codes"][:, i])
        assert torch.allclose(scores.best[:, i], 2 * best - 2, rtol=0, atol=1e-12)
        assert torch.allclose(scores.second[:, i], 2 * second - 2, rtol=0, atol=1e-12)
        at += dim


def test_a_wrong_code_loses_and_later_ones_are_judged_on_what_it_leaves(state):
    model = build(state, torch.float64)
    z = torch.randn(1, 8, 4, dtype=torch.float64)
    codes = model.quantizer(z).codes.clone()
    codes[0, 0, 2] = (codes[0, 0, 2] + 1) % 9
    scores = model.quantizer.judge(z, codes)
    lost = scores.chosen < scores.best
    assert lost[0, 0].tolist() == [False, False, True, False]
    residual = z - model.quantizer.quantizers[0].out_proj(model.quantizer.quantizers[0].rows(codes[:, 0]))
    codes[:, 1] = model.quantizer.quantizers[1](residual)[1]
    assert not (model.quantizer.judge(z, codes).chosen < scores.best)[0, 1].any()


def test_the_first_of_parallel_rows_wins(state):
    state[TABLE][7] = 2 * state[TABLE][4]
    state[TABLE][1] = 0.5 * state[TABLE][4]
    model = build(state)
    quantizer = model.quantizer.quantizers[1]
    assert quantizer.nearest(quantizer.rows(torch.arange(9)[None])).tolist() == [[0, 1, 2, 3, 1, 5, 6, 1, 8]]
    codes = torch.randint(0, 9, (1, 3, 6))
    codes[0, 1] = torch.tensor([1, 4, 7, 1, 4, 7])
    same = codes.clone()
    same[0, 1] = 1
    assert torch.equal(model.decode_codes(codes), model.decode_codes(same))
    assert not torch.equal(model.code_latents(codes), model.code_latents(same))


def test_a_row_without_direction_counts_as_a_cosine_of_one_half(state):
    state[TABLE] = torch.eye(3).repeat(3, 1)
    state[TABLE][8] = 0
    quantizer = build(state, torch.float64).quantizer.quantizers[1]
    angles = torch.tensor([0.4, 1.04, 1.05, 1.5], dtype=torch.float64)  # a cosine of one half lies at 1.047
    latents = torch.stack([angles.cos(), -angles.sin(), torch.zeros(4)])[None]
    assert quantizer.nearest(latents).tolist() == [[0, 0, 8, 8]]
    assert torch.allclose(quantizer.scores(latents)[0, :, 8], torch.tensor(-1.0).double())


def test_one_row_has_no_second():
    config = LACConfig(encoder_dim=2, encoder_rates=(2,), decoder_dim=2, decoder_rates=(2,), codebook_size=1)
    model = LACReference.from_state_dict(random_codec(config, 0), config.to_kwargs())
    encoded = model.encode(torch.randn(1, 1, 5))
    assert not encoded["codes"].any()
    assert model.quantizer.judge(encoded["z"], encoded["codes"]).second.isneginf().all()
