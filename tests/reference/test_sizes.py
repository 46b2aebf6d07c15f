"""The reference at sizes that no recording has: against a plain evaluation of the definitions in numpy."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from vampconv.errors import BadInputError, UnsupportedModelError
from vampconv.reference.attention import relative_position_bucket
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import random_codec_tables, random_state_dict
from vampconv.reference.vampnet import VampNetReference

SIZES = [  # codebooks, conditioning, flash attention, LoRA, r_cond_dim and controls
    (1, 0, False, True, 0, {}),
    (5, 0, False, False, 0, {}),
    (5, 2, False, True, 0, {"loudness": 1, "chroma-4": 4}),
    (5, 2, True, True, 0, {}),
    (3, 2, False, True, 7, {}),
    (1, 0, True, False, 1, {}),
]
VOCAB = 7


def build(codebooks, conditioning, flash, lora, r_dim, controls):
    config = VampNetConfig(3, 1, r_dim, codebooks, conditioning, 5, 27, VOCAB, flash, controls)
    state = random_state_dict(config, seed=1, lora=lora)
    tables = list(random_codec_tables(codebooks, VOCAB, 5, seed=2).values())
    return config, state, tables


def draw_inputs(config, batch, time, seed=3):
    rng = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, VOCAB + 1, (batch, config.n_codebooks, time), generator=rng)
    inputs = {"codes": codes}
    if config.r_cond_dim:
        inputs["r"] = torch.rand(batch, generator=rng)
    if config.ctrl_dims:
        sizes = config.ctrl_dims.items()
        inputs["ctrls"] = {n: torch.randn(batch, size, time, generator=rng) for n, size in sizes}
        inputs["ctrl_masks"] = {n: torch.rand(batch, time, generator=rng).round() for n in config.ctrl_dims}
    return inputs


class Plain:
    """One layer, element by element where shapes could deceive, in numpy float64."""

    def __init__(self, config, state, tables):
        self.config = config
        self.w = {name: tensor.double().numpy() for name, tensor in state.items()}
        self.tables = [table.double().numpy() for table in tables]

    def linear(self, name, x):
        weight = self.w[f"{name}.weight"]
        if f"{name}.lora_A" in self.w:
            weight = weight + self.w[f"{name}.lora_B"] @ self.w[f"{name}.lora_A"] / 8
        return x @ weight.T + self.w.get(f"{name}.bias", 0)

    def norm(self, name, x):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * self.w[f"{name}.weight"]

    def film(self, name, x, condition):
        if condition is None:
            return x
        return x * (self.linear(f"{name}.gamma", condition) + 1) + self.linear(f"{name}.beta", condition)

    def condition(self, r):
        dim = self.config.r_cond_dim
        half = dim // 2
        gamma = np.clip(np.cos(np.float32(r) * np.pi / 2), 1e-10, 1) * 10000
        angle = [gamma * math.exp(-i * math.log(10000) / (half - 1)) for i in range(half)]
        return np.array([math.sin(a) for a in angle] + [math.cos(a) for a in angle] + [0.0] * (dim % 2))

    def attention(self, x):
        name, heads = "transformer.layers.0.self_attn", self.config.n_heads
        time, dim = x.shape
        if self.config.flash_attn:
            q, k, v = self.linear(f"{name}.Wqkv", x).reshape(time, 3, dim).swapaxes(0, 1)
        else:
            q, k, v = (self.linear(f"{name}.{part}", x) for part in ("w_qs", "w_ks", "w_vs"))
        out = np.zeros_like(x)
        for h, t in itertools.product(range(heads), range(time)):
            own = slice(h * dim // heads, (h + 1) * dim // heads)
            scores = k[:, own] @ q[t, own] / math.sqrt(dim // heads)
            if not self.config.flash_attn:
                table = self.w[f"{name}.relative_attention_bias.weight"]
                scores = scores + [table[relative_position_bucket(s - t), h] for s in range(time)]
            weights = np.exp(scores - scores.max())
            out[t, own] = (weights / weights.sum()) @ v[:, own]
        return self.linear(f"{name}.{'out_proj' if self.config.flash_attn else 'fc'}", out)

    def feed_forward(self, x):
        value, gate = np.split(self.linear("transformer.layers.0.feed_forward.w_1", x), 2, axis=-1)
        gelu = gate / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
        return self.linear("transformer.layers.0.feed_forward.w_2", value * gelu)

    def embed(self, codes, controls, masks):
        time = codes.shape[1]
        masks_of = self.w["embedding.special.MASK"]
        rows = [np.vstack([table, masks_of[i]]) for i, table in enumerate(self.tables)]
        latents = np.stack([np.hstack([rows[i][c] for i, c in enumerate(codes[:, t])]) for t in range(time)])
        x = latents @ self.w["embedding.out_proj.weight"][:, :, 0].T + self.w["embedding.out_proj.bias"]
        for name, control in controls.items():
            x = x + self.linear(f"ctrl_encoder.ctrl_encoders.{name}", control.T) * masks[name][:, None]
        return x

    def logits(self, codes, r=None, controls=None, masks=None):
        """[vocab, time * n_predict] for one example."""
        condition = None if r is None else self.condition(r)
        x = self.embed(codes, controls or {}, masks or {})
        layer = "transformer.layers.0"
        x = x + self.attention(self.film(f"{layer}.film_1", self.norm(f"{layer}.norm_1", x), condition))
        x = x + self.feed_forward(self.film(f"{layer}.film_3", self.norm(f"{layer}.norm_3", x), condition))
        x = self.norm("transformer.norm", x)
        v, g = (self.w[f"classifier.layers.0.{part}"][:, :, 0] for part in ("weight_v", "weight_g"))
        scores = x @ (g * v / np.sqrt((v * v).sum(1, keepdims=True))).T + self.w["classifier.layers.0.bias"]
        predicted = self.config.n_predict
        steps = itertools.product(range(x.shape[0]), range(predicted))
        return np.stack([scores[t, c::predicted] for t, c in steps], axis=1)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("time", [1, 2, 13])
@pytest.mark.parametrize("batch", [1, 2, 3])
def test_logits_are_the_definition(size, time, batch):
    config, state, tables = build(*size)
    model = VampNetReference.from_state_dict(state, config.to_kwargs(), tables, dtype=torch.float64)
    inputs = draw_inputs(config, batch, time)
    logits = model(**inputs).numpy()
    assert logits.shape == (batch, VOCAB, time * config.n_predict)
    plain = Plain(config, state, tables)
    for b in range(batch):
        controls, masks = (
            {name: tensor[b].double().numpy() for name, tensor in inputs.get(group, {}).items()}
            for group in ("ctrls", "ctrl_masks")
        )
        r = inputs["r"][b].item() if "r" in inputs else None
        tolerance = 1e-2 if config.r_cond_dim > 1 else 1e-12  # the sinusoids are float32 by definition
        wanted = plain.logits(inputs["codes"][b].numpy(), r, controls, masks)
        assert np.linalg.norm(logits[b] - wanted) <= tolerance * np.linalg.norm(wanted)


def test_codes_beyond_the_mask_token_are_refused():
    config, state, tables = build(*SIZES[0])
    model = VampNetReference.from_state_dict(state, config.to_kwargs(), tables)
    for code in (-1, VOCAB + 1):
        with pytest.raises(IndexError):
            model(torch.full((1, 1, 2), code))


def test_conditions_must_be_given():
    for size, message in ((SIZES[4], "conditioned on r"), (SIZES[2], "exactly loudness, chroma-4")):
        config, state, tables = build(*size)
        model = VampNetReference.from_state_dict(state, config.to_kwargs(), tables)
        codes = draw_inputs(config, 1, 2)["codes"]
        with pytest.raises(ValueError, match=message):
            model(codes)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"n_heads": 4}, BadInputError),
        ({"n_layers": 0}, BadInputError),
        ({"n_conditioning_codebooks": 5}, BadInputError),
        ({"vocab_size": 7.0}, BadInputError),
        ({"ctrl_dims": [1]}, BadInputError),
        ({"r_cond_dim": 2}, UnsupportedModelError),
        ({"noise_mode": "noise"}, UnsupportedModelError),
    ],
    ids=str,
)
def test_impossible_architectures_are_refused(change, error):
    kwargs = build(*SIZES[1])[0].to_kwargs()
    with pytest.raises(error):
        VampNetConfig.from_kwargs(kwargs | change)
