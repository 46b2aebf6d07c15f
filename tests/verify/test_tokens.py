"""Choices: one that differs is a tie only if float64 itself cannot tell; anything else is real."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax

from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import random_codec
from vampconv.verify.compare import FLOOR
from vampconv.verify.result import Tokens
from vampconv.verify.tokens import added, judge_codes, judge_logits

CODEC = LACConfig(
    encoder_dim=2,
    encoder_rates=(2, 2),
    decoder_dim=8,
    decoder_rates=(4,),
    codebook_dims=(3, 3, 5),
    codebook_size=9,
)
FIRST = "quantizer.quantizers.0.codebook.weight"


def counts(tokens):
    return tokens.positions, tokens.equal, tokens.ties, tokens.real


def logits(*rows):
    """Float64 [1, positions, vocab]."""
    return torch.tensor([rows], dtype=torch.float64)


@pytest.fixture
def random_logits():
    return torch.from_numpy(np.random.default_rng(0).normal(0, 3, (2, 15, 11)))


def test_equal_choices(random_logits):
    tokens = judge_logits(random_logits.float().numpy(), random_logits, random_logits.float())
    assert counts(tokens) == (30, 30, 0, 0)
    assert 0 <= tokens.kl < 1e-12


def test_a_deliberately_wrong_choice_is_real(random_logits):
    found = random_logits.float().numpy()
    for batch, position in ((0, 3), (1, 14)):
        best = found[batch, position].argmax()
        found[batch, position, best] = found[batch, position].min() - 1
    tokens = judge_logits(found, random_logits, random_logits.float())
    assert counts(tokens) == (30, 28, 0, 2)


def test_errors_of_torch_elsewhere_do_not_excuse_a_large_margin(random_logits):
    rival = random_logits.float()
    rival[0, 0, 0] += 0.01
    found = random_logits.float().numpy()
    found[1, 2] = -found[1, 2]
    assert judge_logits(found, random_logits, rival).real == 1


def test_an_exact_tie_is_equal_or_a_tie_whichever_is_chosen():
    truth = logits([1, 5, 5, 0], [5, 1, 0, 5])
    assert counts(judge_logits(truth.float().numpy(), truth, truth.float())) == (2, 2, 0, 0)
    other = truth.float().numpy()
    other[0, 0, 1] = other[0, 1, 0] = np.nextafter(np.float32(5), np.float32(0))
    assert counts(judge_logits(other, truth, truth.float())) == (2, 0, 2, 0)


@pytest.mark.parametrize(
    ("off", "allowed"), [(0.0, FLOOR * 8), (FLOOR, FLOOR * 8), (1e-4, 4e-4)], ids=["floor", "small", "torch"]
)
def test_a_tie_is_within_twice_what_float32_may_be_off(off, allowed):
    for margin, ties in ((1.99 * allowed, 1), (2.01 * allowed, 0)):
        truth = logits([8, 8 - margin, 0], [1, 0, 0])
        rival = truth.clone()
        rival[0, 1, 2] -= off
        found = truth.numpy().astype(np.float32)
        found[0, 0, 1] = 8.5
        assert counts(judge_logits(found, truth, rival)) == (2, 1, ties, 1 - ties)


def test_a_better_choice_than_the_best_of_torch_is_no_flip():
    """Only float64 decides: where torch in float32 errs and ONNX Runtime does not, nothing differs."""
    truth = logits([2, 1, 0])
    rival = logits([1, 2, 0])
    assert counts(judge_logits(truth.float().numpy(), truth, rival)) == (1, 1, 0, 0)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_no_choice(random_logits, value):
    """The first NaN would be the arg-max, and might by chance be the right one."""
    found = random_logits.float().numpy()
    found[0, 4] = value
    found[1, 5, int(random_logits[1, 5].argmax())] = math.nan
    tokens = judge_logits(found, random_logits, random_logits.float())
    assert counts(tokens) == (30, 28, 0, 2)


def test_an_infinite_logit_elsewhere_makes_no_flip_a_tie(random_logits):
    random_logits[0, 0, 0] = math.inf
    found = random_logits.float().numpy()
    found[1, 2] = -found[1, 2]
    assert judge_logits(found, random_logits, random_logits.float()).real == 2


def test_the_divergence_is_that_of_scipy(random_logits):
    found = (random_logits + 0.3 * torch.sin(7 * random_logits)).float().numpy()
    tokens = judge_logits(found, random_logits, random_logits.float())
    wanted, here = softmax(random_logits.numpy(), -1), softmax(found.astype(np.float64), -1)
    assert tokens.kl == pytest.approx(rel_entr(wanted, here).sum(-1).mean(), rel=1e-9)
    assert tokens.kl > 1e-3


def test_counts_of_several_runs_are_added():
    one, other = Tokens(10, 7, 2, 1, kl=0.5), Tokens(30, 29, 0, 1, kl=0.1)
    assert added(None, one) is one
    assert counts(added(one, other)) == (40, 36, 2, 2)
    assert added(one, other).kl == pytest.approx(0.2)
    assert added(one, Tokens(5, 5, 0, 0)).kl is None


class Coded:
    """A codec in both precisions, with z and the codes of some sound."""

    def __init__(self, state, scale=1.0):
        self.models = [
            LACReference.from_state_dict(state, CODEC.to_kwargs(), d) for d in (torch.float64, torch.float32)
        ]
        sound = torch.from_numpy(np.random.default_rng(1).normal(0, scale, (2, 1, 44)))
        self.z = [m.encoder(m.pad(sound.to(next(m.parameters()).dtype))) for m in self.models]
        self.codes = self.models[0].quantizer(self.z[0]).codes.numpy()

    def judge(self, codes):
        sides = list(zip(self.models, self.z, strict=True))
        return judge_codes(codes, *sides)


@pytest.fixture
def state():
    return random_codec(CODEC, 3)


def test_codes_of_the_reference_are_equal(state):
    coded = Coded(state)
    assert counts(coded.judge(coded.codes)) == (coded.codes.size, coded.codes.size, 0, 0)
    assert coded.judge(coded.codes).kl is None


@pytest.mark.parametrize("codebook", [0, 1, 2])
def test_a_deliberately_wrong_code_is_real(state, codebook):
    """And what comes after it is judged on what the wrong code leaves over."""
    coded = Coded(state)
    z, quantizers = coded.z[0][1:, :, 4:5], coded.models[0].quantizer.quantizers
    codes = coded.codes.copy()
    codes[1, codebook, 4] = (codes[1, codebook, 4] + 4) % 9
    residual = z
    for index, quantizer in enumerate(quantizers):
        given = torch.from_numpy(codes[1:, index, 4:5])
        forced = given if index <= codebook else None
        known, chosen, _ = quantizer(residual, forced)
        codes[1, index, 4] = int(chosen)
        residual = residual - known
    assert counts(coded.judge(codes)) == (codes.size, codes.size - 1, 0, 1)


def test_what_has_no_score_is_no_equal_code(state):
    coded = Coded(state)
    coded.z[0][0, 2, 3] = math.nan
    tokens = coded.judge(coded.codes)
    assert counts(tokens) == (coded.codes.size, coded.codes.size - 3, 0, 3)


def test_all_codes_wrong_are_all_real(state):
    coded = Coded(state)
    tokens = coded.judge((coded.codes + 3) % 9)
    assert tokens.real > 0.6 * tokens.positions  # some are right for what wrong ones leave over


def test_rows_of_one_direction_are_equal_and_nearly_one_direction_ties(state):
    last = "quantizer.quantizers.2.codebook.weight"
    state[last][7] = state[last][4] * 3
    coded = Coded(state)
    swapped = np.where(
        np.arange(3)[:, None] == 2, np.choose(coded.codes, [0, 1, 2, 3, 7, 5, 6, 4, 8]), coded.codes
    )
    assert (swapped != coded.codes).any()
    tokens = coded.judge(swapped)
    assert (tokens.equal + tokens.ties, tokens.real) == (tokens.positions, 0)

    state[last][7] = state[last][4] + 1e-7 * state[last][5]
    tokens = Coded(state).judge(swapped)
    assert tokens.ties > 0
    assert tokens.real == 0

    state[last][7] = state[last][4] + 1e-2 * state[last][5]
    assert Coded(state).judge(swapped).real > 0


def test_a_tie_of_codes_grows_with_the_error_of_torch(state):
    state[FIRST][7] = state[FIRST][4] + 1e-3 * state[FIRST][5]
    coded = Coded(state)
    codes = np.where(
        np.arange(3)[:, None] == 0, np.choose(coded.codes, [0, 1, 2, 3, 7, 5, 6, 4, 8]), coded.codes
    )
    only_first = codes[:, :1].copy()
    assert coded.judge(only_first).real > 0
    coded.z[1] = coded.z[1] + 1e-2
    assert coded.judge(only_first).real == 0
