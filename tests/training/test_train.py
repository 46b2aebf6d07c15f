"""Training: a few steps lower the loss, and a seed gives the same weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from training.beginning import untrained
from training.codec import CODEC, CodecPlan, train_codec
from training.data import songs
from training.files import save
from training.masks import random_mask
from training.spectral import stft_distance
from training.transformer import (
    COARSE,
    COARSE_TO_FINE,
    TransformerPlan,
    encode_songs,
    masked_loss,
    train_transformer,
)
from training.transformer import untrained as untrained_transformer

SMALL_CODEC = replace(
    CODEC,
    encoder_dim=4,
    encoder_rates=(4, 4),
    decoder_dim=16,
    decoder_rates=(4, 4),
    codebook_dims=(4,) * 4,
    codebook_size=16,
)
SIZES = {"n_layers": 1, "embedding_dim": 16, "vocab_size": 16, "latent_dim": 4, "n_heads": 2}
SMALL = {
    "coarse": replace(COARSE, n_codebooks=2, **SIZES),
    "c2f": replace(COARSE_TO_FINE, n_codebooks=4, n_conditioning_codebooks=2, **SIZES),
}
PLAN = CodecPlan(together=10, decoding=6, batch=4, samples=2048, patience=3)
QUICK = TransformerPlan(steps=80, batch=8, frames=24, rate=2e-2)


@pytest.fixture(scope="module")
def music():
    torch.set_num_threads(1)
    return songs(range(3), 1.5)


def run_codec(music, seed=0):
    steps: list[int] = []
    model = train_codec(music, PLAN, seed, lambda step, _loss: steps.append(step), SMALL_CODEC)
    assert steps == list(range(PLAN.steps))
    return model


@pytest.fixture(scope="module")
def codec(music):
    return run_codec(music)


def same(one, other) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def test_the_codec_learns(codec, music):
    before, after = (stft_distance(m(music), music) for m in (untrained(SMALL_CODEC, 0), codec))
    assert after[0] < 0.8 * before[0]
    assert after[1] < 0.8 * before[1]
    assert not any(p.requires_grad for p in codec.parameters())


def test_a_seed_gives_the_same_codec(codec, music):
    assert same(codec, run_codec(music))
    assert not same(untrained(SMALL_CODEC, 0), untrained(SMALL_CODEC, 1))


def steady(n_codebooks: int) -> torch.Tensor:
    """Codes [songs, n_codebooks, frames] that stay as they are, each codebook and song at another number."""
    start = 3 * torch.arange(n_codebooks)[:, None] + 5 * torch.arange(4)[:, None, None]
    return (start % SMALL_CODEC.codebook_size).repeat(1, 1, 64)


@pytest.mark.parametrize("part", ["coarse", "c2f"])
def test_a_transformer_learns_and_is_converted(codec, music, part, workshop, tmp_path):
    codes, tables = encode_songs(codec, music)
    assert codes.shape[:2] == (len(music), SMALL_CODEC.n_codebooks)
    config = SMALL[part]
    codes = steady(config.n_codebooks)

    def run():
        return train_transformer(codes, tables, config, QUICK, 0, lambda *_: None)

    model = run()
    mask = random_mask(codes.shape, config.n_conditioning_codebooks, torch.Generator().manual_seed(0))
    before, after = (masked_loss(m, codes, mask) for m in (untrained_transformer(config, tables, 0), model))
    assert after < before / 2
    assert same(model, run())
    save(codec, tmp_path / "codec.pth")
    save(model, tmp_path / f"{part}.pth")
    bundle = workshop.bundle(tmp_path / f"{part}.pth", tmp_path / "codec.pth")
    found = workshop.logits(workshop.session(bundle, part), {"codes": codes.numpy()})
    wanted = model(codes).transpose(1, 2)
    torch.testing.assert_close(torch.from_numpy(found), wanted, rtol=1e-4, atol=1e-4)
