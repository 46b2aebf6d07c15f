"""What every op means, against an independent computation in torch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from vampconv.dialect import OPS
from vampconv.dialect.attention import distance_bucket
from vampconv.dialect.film import noise_frequencies

SEED = 20


@pytest.fixture
def draw(record_property):
    record_property("seed", SEED)
    generator = torch.Generator().manual_seed(SEED)
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


def meaning(name, *inputs, **attributes):
    arrays = [x.numpy() if isinstance(x, torch.Tensor) else x for x in inputs]
    return torch.from_numpy(np.ascontiguousarray(OPS[name].meaning(*arrays, **attributes)))


def agree(found, wanted, tolerance=1e-12):
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def test_every_op_is_compared_here():
    text = Path(__file__).read_text()
    assert [name for name in OPS if f'meaning("{name}", ' not in text] == []


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e3])
@pytest.mark.parametrize("eps", [1e-6, 1e-2])
def test_rms_norm(draw, scale, eps):
    x, weight = draw(2, 3, 7) * scale, draw(7)
    agree(meaning("RMSNorm", x, weight, eps=eps), functional.rms_norm(x, (7,), weight, eps))


def test_gated_gelu(draw):
    x = draw(2, 3, 10) * 3
    value, gate = x.chunk(2, dim=-1)
    agree(meaning("GatedGELU", x), value * functional.gelu(gate, approximate="tanh"))
    assert not torch.allclose(meaning("GatedGELU", x), value * functional.gelu(gate), atol=1e-6)


def test_tanh_gelu(draw):
    x = draw(2, 3, 10) * 3
    agree(meaning("TanhGELU", x), functional.gelu(x, approximate="tanh"))
    assert not torch.allclose(meaning("TanhGELU", x), functional.gelu(x), atol=1e-6)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("with_bias", [True, False])
def test_attention(draw, heads, with_bias):
    q, k, v = draw(2, 5, 6) * 4, draw(2, 5, 6), draw(2, 5, 6)
    bias = draw(1, heads, 5, 5) if with_bias else None
    split = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k, v))
    mixed = functional.scaled_dot_product_attention(*split, attn_mask=bias)
    agree(meaning("Attention", q, k, v, bias, heads=heads), mixed.transpose(1, 2).flatten(2))


def t5_bucket(relative, buckets=32, max_distance=128):
    """T5's formula, in float32 and with its int(), as the original computes it."""
    half, exact = buckets // 2, buckets // 4
    size = relative.abs()
    logarithm = torch.log(size.clamp(min=1).float() / exact) / math.log(max_distance / exact)
    far = (exact + (logarithm * (half - exact)).to(torch.long)).clamp(max=half - 1)
    return torch.where(size < exact, size, far) + (relative > 0) * half


def test_buckets_are_those_of_the_original_up_to_5000():
    relative = torch.arange(-5000, 5001)
    ours = [distance_bucket(abs(d), 16, 128) + 16 * (d > 0) for d in relative.tolist()]
    assert ours == t5_bucket(relative).tolist()


def test_relative_position_bias(draw):
    table, steps = draw(32, 3), 200
    positions = torch.arange(steps)
    relative = positions[None, :] - positions[:, None]  # key minus query
    wanted = functional.embedding(t5_bucket(relative), table).permute(2, 0, 1)[None]
    found = meaning("RelativePositionBias", torch.tensor([steps]), table, max_distance=128)
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 1), (5, 2, 7)])
def test_weight_norm(draw, shape):
    layer = torch.nn.Module()
    layer.weight = torch.nn.Parameter(draw(*shape))
    torch.nn.utils.parametrizations.weight_norm(layer, "weight", dim=0)
    with torch.no_grad():
        layer.parametrizations.weight.original0.copy_(draw(shape[0], *(1,) * (len(shape) - 1)))
        g, v = layer.parametrizations.weight.original0, layer.parametrizations.weight.original1
        agree(meaning("WeightNorm", g.detach(), v.detach()), layer.weight.detach())


def test_lora(draw):
    weight, a, b = draw(5, 4), draw(3, 4), draw(5, 3)
    agree(meaning("LoRA", weight, a, b, scale=0.125), torch.addmm(weight, b, a, alpha=0.125))


def test_codebook_embedding(draw):
    table, mask = draw(6, 4), draw(3, 4)
    codes = torch.randint(0, 7, (2, 3, 50), generator=torch.Generator().manual_seed(SEED))
    for codebook in range(3):
        rows = torch.cat([table, mask[codebook : codebook + 1]])
        found = meaning("CodebookEmbedding", codes, table, mask, codebook=codebook)
        assert torch.equal(found, functional.embedding(codes[:, codebook], rows))


@pytest.mark.parametrize("code", [-1, -7, 7, 1000])
def test_no_code_reads_another_row(draw, code):
    codes = torch.full((1, 2, 1), 3)
    codes[0, 1, 0] = code
    assert meaning("CodebookEmbedding", codes, draw(6, 4), draw(2, 4), codebook=0).shape == (1, 1, 4)
    with pytest.raises(IndexError, match="codes must be 0 … 6"):
        meaning("CodebookEmbedding", codes, draw(6, 4), draw(2, 4), codebook=1)


def test_linear_and_pointwise_conv(draw):
    x, weight, bias = draw(2, 5, 4), draw(3, 4), draw(3)
    agree(meaning("Linear", x, weight), functional.linear(x, weight))
    agree(meaning("Linear", x, weight, bias), functional.linear(x, weight, bias))
    convolved = functional.conv1d(x.mT, weight[..., None], bias).mT
    agree(meaning("PointwiseConv", x, weight[..., None], bias), convolved)


@pytest.mark.parametrize("n_predict", [1, 4])
def test_classifier(draw, n_predict):
    vocab = 5
    x, weight, bias = draw(2, 3, 6), draw(vocab * n_predict, 6, 1), draw(vocab * n_predict)
    rows = functional.conv1d(x.mT, weight, bias)  # b (p c) t
    original = rows.unflatten(1, (vocab, n_predict)).permute(0, 1, 3, 2).flatten(2)  # b p (t c)
    agree(meaning("Classifier", x, weight, bias, n_predict=n_predict), original.mT)


def test_control_encoder(draw):
    control, weight, bias = draw(2, 3, 5), draw(4, 3), draw(4)
    mask = (draw(2, 5) > 0).double()
    wanted = functional.linear(control.mT, weight, bias) * mask[..., None]
    agree(meaning("ControlEncoder", control, mask, weight, bias), wanted)


def test_film(draw):
    x, r, weights = draw(2, 5, 3), draw(2, 4), (draw(3, 4), draw(3), draw(3, 4), draw(3))
    gamma, beta = functional.linear(r, *weights[:2]), functional.linear(r, *weights[2:])
    agree(meaning("FiLM", x, r, *weights), x * (gamma[:, None] + 1) + beta[:, None])
    assert torch.equal(meaning("FiLM", x), x)


@pytest.mark.parametrize("dim", [4, 7, 64, 128])
def test_noise_embedding(dim):
    r = torch.linspace(0, 1, 33)
    gamma = (r * torch.pi / 2).cos().clamp(1e-10, 1) * 10_000
    step = math.log(10_000) / (dim // 2 - 1)
    frequencies = torch.exp(torch.arange(dim // 2).float() * -step)
    assert np.abs(noise_frequencies(dim) / frequencies.numpy() - 1).max() < 2e-7
    argument = gamma[:, None] * torch.from_numpy(noise_frequencies(dim))
    wanted = functional.pad(torch.cat([argument.sin(), argument.cos()], 1), (0, dim % 2))
    found = meaning("NoiseEmbedding", r, dim=dim)
    # one unit in the last place of a float32 cosine, 6e-8, is 6e-4 radians at the highest frequency
    torch.testing.assert_close(found.float(), wanted, rtol=0, atol=2e-3)
    settled = (gamma[:, None] * torch.from_numpy(noise_frequencies(dim)) < 1).all(1)
    torch.testing.assert_close(found.float()[settled], wanted[settled], rtol=0, atol=1e-6)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test_snake(draw, scale):
    x, alpha = draw(2, 3, 40) * scale, draw(1, 3, 1)
    agree(meaning("Snake", x, alpha), x + (alpha + 1e-9).reciprocal() * torch.sin(alpha * x).square())
    agree(meaning("Snake", x, torch.ones(1, 3, 1, dtype=torch.float64)), meaning("UnitSnake", x), 1e-8)
    agree(meaning("UnitSnake", x), x + (1 - torch.cos(2 * x)) / 2)


def test_a_snake_of_alpha_zero_is_nothing(draw):
    x = draw(2, 3, 40)
    assert torch.equal(meaning("Snake", x, torch.zeros(1, 3, 1, dtype=torch.float64)), x)


@pytest.mark.parametrize("samples", [1, 14, 15, 16, 30, 31])
@pytest.mark.parametrize("shape", [(), (2,), (2, 1)])
def test_pad_to_multiple(draw, shape, samples):
    x = draw(*shape, samples)
    found = meaning("PadToMultiple", x, multiple=15)
    assert found.shape[-1] == 15 * math.ceil(samples / 15)
    assert torch.equal(found, functional.pad(x, (0, found.shape[-1] - samples)))


@pytest.mark.parametrize("eps", [1e-5, 1e-2])
def test_batch_norm(draw, eps):
    x, weight, bias, mean, variance = draw(2, 3, 7), draw(3), draw(3), draw(3), draw(3) ** 2
    wanted = functional.batch_norm(x, mean, variance, weight, bias, eps=eps)
    agree(meaning("BatchNorm", x, weight, bias, mean, variance, eps=eps), wanted)


def lac_distance(latents, table):
    """As LAC has it: latents [batch, time, latent], table [vocab, latent] -> [batch, time, vocab]."""
    a, b = functional.normalize(latents.flatten(0, 1)), functional.normalize(table)
    distance = a.pow(2).sum(1, keepdim=True) - 2 * a @ b.t() + b.pow(2).sum(1, keepdim=True).t()
    return distance.unflatten(0, latents.shape[:2])


@pytest.mark.parametrize("scale", [1e-13, 1e-4, 1.0, 1e3])
@pytest.mark.parametrize("zeros", [0, 2])
def test_nearest_code(draw, scale, zeros):
    latents, table = draw(2, 150, 4) * scale, draw(12, 4) * 3
    table[3 : 3 + zeros] = 0
    found = meaning("NearestCode", latents, table)
    assert torch.equal(found, (-lac_distance(latents, table)).max(-1).indices)
    assert ((found == 3).any() and 4 not in found) or not zeros
    assert len(found.unique()) > 3 or (zeros and scale == 1e-13)


def test_the_first_of_equally_near_codes_is_taken(draw):
    latents, table = draw(2, 300, 4), draw(12, 4)
    alone = meaning("NearestCode", latents, table[:9])
    for i, factor in enumerate((1.0, 3.0, 0.1)):
        table[9 + i] = factor * table[4]
    assert (alone == 4).any()
    assert torch.equal(meaning("NearestCode", latents, table), alone)
    assert torch.equal(meaning("NearestCode", latents, table.flip(0)) == 0, alone == 4)


def test_latents_of_zero_take_the_row_of_zeros_or_else_the_first(draw):
    latents, table = torch.zeros(1, 2, 4, dtype=torch.float64), draw(12, 4)
    assert meaning("NearestCode", latents, table).tolist() == [[0, 0]]
    table[5] = table[8] = 0
    assert meaning("NearestCode", latents, table).tolist() == [[5, 5]]


def test_a_code_far_from_every_direction_takes_the_row_of_zeros():
    table = torch.eye(3, dtype=torch.float64)[:2].repeat(2, 1)
    table[1] = 0
    cosines = torch.tensor([[0.49, 0.51]], dtype=torch.float64)
    latents = torch.stack([cosines, torch.zeros(1, 2), (1 - cosines**2).sqrt()], -1)
    assert meaning("NearestCode", latents, table).tolist() == [[1, 0]]


def test_requantize(draw):
    table = draw(20, 4)
    assert torch.equal(meaning("Requantize", table), table)
    table[7], table[12], table[15] = 2 * table[3], 0.3 * table[3], -table[3]
    table[9] = table[18] = 0
    found = meaning("Requantize", table)
    again = (-lac_distance(table[None, :9], table[:9])).max(-1).indices[0]
    assert again.tolist() == [0, 1, 2, 3, 4, 5, 6, 3, 8]
    wanted = table.clone()
    wanted[7] = wanted[12] = table[3]
    assert torch.equal(found, wanted)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_decode_codes(draw, count):
    tables, weights, biases = draw(5, 6, 4), draw(5, 3, 4), draw(5, 3)
    codes = torch.randint(0, 7, (2, count, 60), generator=torch.Generator().manual_seed(SEED))
    assert (codes == 6).any()
    plain = codes.masked_fill(codes == 6, 0)
    parts = [
        functional.linear(functional.embedding(plain[:, i], tables[i]), weights[i], biases[i])
        for i in range(count)
    ]
    agree(meaning("DecodeCodes", codes, tables, weights, biases), torch.stack(parts).sum(0))


@pytest.mark.parametrize("code", [-1, -6, 7, 1000])
def test_no_code_is_decoded_as_another(draw, code):
    codes = torch.full((1, 2, 3), 3)
    codes[0, 1, 2] = code
    with pytest.raises(IndexError, match=r"codes must be 0 … 6, but reach"):
        meaning("DecodeCodes", codes, draw(5, 6, 4), draw(5, 3, 4), draw(5, 3))


@pytest.mark.parametrize("count", [0, 3])
def test_more_codebooks_than_there_are_or_none_cannot_be_decoded(draw, count):
    with pytest.raises(IndexError, match=f"there are 2 codebooks, not {count}"):
        meaning("DecodeCodes", torch.zeros(1, count, 1).long(), draw(2, 6, 4), draw(2, 3, 4), draw(2, 3))
