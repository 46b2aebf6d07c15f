"""What training adds to the reference modules."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from training.beginning import begin_as_transform, untrained
from training.codec import CODEC
from training.data import songs
from training.masks import random_mask, training_mask
from training.quantizer import quantize, revive, start
from training.schedule import rate_at
from training.snake import FastSnake, _Snake, hasten, restore
from training.spectral import stft_distance
from training.transformer import COARSE, COARSE_TO_FINE
from training.transformer import untrained as untrained_transformer
from vampconv.reference.lac_layers import Snake
from vampconv.reference.lac_quantizer import ResidualVectorQuantize

CHANNELS, SIZE, DIM = 12, 16, 4


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def latents() -> torch.Tensor:
    """Frames [frames, channels] in clusters, around a mean far from zero."""
    centres = torch.randn(40, CHANNELS, generator=generator(1))
    noise = 0.1 * torch.randn(800, CHANNELS, generator=generator(2))
    return centres.repeat(20, 1) + noise + 3


@pytest.fixture
def quantizer(latents) -> ResidualVectorQuantize:
    made = ResidualVectorQuantize(CHANNELS, SIZE, [DIM] * 3)
    start(made, latents, generator())
    return made


def test_fast_snake_is_snake_with_its_gradient():
    model = nn.Sequential(Snake(3)).double()
    with torch.no_grad():
        model[0].alpha.copy_(torch.tensor([0.3, 1.0, 2.5])[:, None])
    x = torch.randn(2, 3, 7, dtype=torch.double, generator=generator(), requires_grad=True)
    wanted = model(x)
    (gradient,) = torch.autograd.grad(wanted.square().sum(), x)
    hasten(model)
    assert type(model[0]) is FastSnake
    torch.testing.assert_close(model(x), wanted)
    torch.testing.assert_close(torch.autograd.grad(model(x).square().sum(), x)[0], gradient)
    assert gradcheck(lambda *given: _Snake.apply(*given), (x, model[0].alpha))
    restore(model)
    assert type(model[0]) is Snake
    assert torch.equal(model(x), wanted)


def test_the_start_leaves_less_with_every_codebook(quantizer, latents):
    left = latents.T[None]
    energy = [(left - left.mean(-1, keepdim=True)).square().mean()]
    for book in quantizer.quantizers:
        left = left - book(left)[0]
        energy.append(left.square().mean())
    assert energy[-1] < 0.2 * energy[0]
    assert all(after < before for before, after in itertools.pairwise(energy))


def test_training_quantises_as_the_reference_does(quantizer, latents):
    z = latents[:50].T[None]
    trained, plain = quantize(quantizer, z, torch.tensor([3])), quantizer(z)
    assert torch.equal(trained.codes, plain.codes)
    torch.testing.assert_close(trained.zq, plain.zq)
    shallow = quantize(quantizer, z, torch.tensor([1]))
    torch.testing.assert_close(shallow.zq, quantizer.quantizers[0](z)[0])


def test_gradients_reach_latents_rows_and_projections(quantizer, latents):
    z = latents[:50].T[None].requires_grad_(True)
    trained = quantize(quantizer, z, torch.tensor([2]))
    (trained.zq.square().mean() + trained.loss).backward()
    assert z.grad is not None
    assert z.grad.abs().max() > 0
    for book in quantizer.quantizers[:2]:
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in book.parameters())
    assert quantizer.quantizers[2].codebook.weight.grad.abs().max() == 0


def test_rows_that_are_not_used_start_anew(quantizer, latents):
    trained = quantize(quantizer, latents.T[None], torch.tensor([3]))
    usage = torch.ones(3, SIZE)
    usage[1, 5] = 0
    before = [book.codebook.weight.detach().clone() for book in quantizer.quantizers]
    assert revive(quantizer, usage, trained.latents, generator()) == 1
    after = [book.codebook.weight for book in quantizer.quantizers]
    assert torch.equal(before[0], after[0])
    changed = (before[1] != after[1]).any(1)
    assert changed.nonzero().tolist() == [[5]]
    assert (after[1][5] == trained.latents[1][0].T).all(1).any()


def test_a_codec_begins_as_a_transform():
    audio = songs(range(3), 2.048)
    model = untrained(CODEC, 0)
    begin_as_transform(model, audio, generator())
    with torch.no_grad():
        z = model.encoder(audio)
        found = model.decode(z)
    assert z.shape[1:] == (CODEC.latent_channels, audio.shape[-1] // CODEC.hop)
    assert (found - audio).square().sum() < 0.1 * audio.square().sum()


def test_a_row_is_chosen_by_distance_at_every_loudness(quantizer, latents):
    """Not by the angle alone: most latents get the row nearest to them, after the projection."""
    book = quantizer.quantizers[0]
    with torch.no_grad():
        projected = book.in_proj(latents.T[None])
        nearest = torch.cdist(projected[0].T, book.codebook.weight).argmin(1)
        assert (book.nearest(projected)[0] == nearest).float().mean() > 0.95
        assert projected[0, -1].std() < 1e-5


def test_a_transformer_begins_with_an_eye_on_what_is_near():
    tables = [torch.randn(64, 16, generator=generator(i)) + 5 for i in range(3)]
    sizes = {"embedding_dim": 64, "vocab_size": 64, "latent_dim": 16, "n_heads": 4, "n_layers": 1}
    for config in (
        replace(COARSE, n_codebooks=3, **sizes),
        replace(COARSE_TO_FINE, n_codebooks=3, n_conditioning_codebooks=1, **sizes),
    ):
        model = untrained_transformer(config, tables, 0)
        bias = model.transformer.layers[0].self_attn.relative_attention_bias(20).detach()
        offsets = [int(bias[9, :, head].argmax()) - 9 for head in range(4)]
        assert offsets == [-1, 1, -2, 2]
        codes = torch.randint(64, (2, 3, 50), generator=generator())
        with torch.no_grad():
            embedded = model.embedding(model.latents(codes))
            scores = model.classifier(embedded).unflatten(1, (64, config.n_predict))
        assert embedded.mean().abs() < 0.1
        right = scores.argmax(1) == codes[:, config.n_conditioning_codebooks :]
        assert right.float().mean() > 0.5


def test_masks_follow_the_schedule():
    mask = random_mask(torch.Size([4000, 3, 50]), 1, generator())
    assert not mask[:, 0].any()
    assert mask[:, 1:].any((1, 2)).all()
    share = mask[:, 1].float().mean(1)
    assert share.mean() == pytest.approx(2 / torch.pi, abs=0.02)
    assert (share < 0.5).float().mean() == pytest.approx(1 / 3, abs=0.04)
    more = training_mask(torch.Size([4000, 3, 50]), 1, generator())
    assert not more[:, 0].any()
    assert more[:, 2].all(1).float().mean() > mask[:, 2].all(1).float().mean() + 0.2


def test_distances_of_silence_and_of_the_same():
    sound = 0.1 * torch.randn(2, 1, 6000, generator=generator())
    linear, logarithmic = stft_distance(torch.zeros_like(sound), sound)
    assert linear == pytest.approx(1, abs=1e-3)
    assert logarithmic > 0.5
    assert [float(d) for d in stft_distance(sound, sound)] == [0, 0]
    half = stft_distance(0.5 * sound, sound)
    assert half[0] == pytest.approx(0.5, abs=1e-3)


def test_the_rate_rises_and_falls():
    rates = [rate_at(step, 1000, 2.0) for step in range(1000)]
    assert max(rates) == pytest.approx(2.0)
    assert rates.index(max(rates)) < 60
    assert rates[0] < 0.1
    assert rates[-1] < 0.03
