"""Which transformer a LoRA fine-tune goes over."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, UsageError
from vampconv.frontend.architecture import VampNetArchitecture
from vampconv.frontend.lora import match
from vampconv.frontend.weights import Weights
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import random_fine_tune

COARSE = VampNetConfig(
    n_heads=1, n_layers=2, n_codebooks=3, latent_dim=2, embedding_dim=6, vocab_size=7, flash_attn=False
)
FINE = replace(COARSE, n_layers=1, n_conditioning_codebooks=1)
TWIN = replace(COARSE, n_conditioning_codebooks=1)
ADAPTED = "transformer.layers.1.self_attn.fc"


def architecture(config):
    return VampNetArchitecture(**vars(config))


@pytest.fixture
def fine_tune(tmp_path):
    opened = []

    def make(state, name="tune.pth"):
        torch.save(dict(state), tmp_path / name)
        opened.append(open_checkpoint(tmp_path / name))
        return Weights(opened[-1])

    yield make
    for checkpoint in opened:
        checkpoint.close()


MODELS = {"coarse": architecture(COARSE), "c2f": architecture(FINE)}


@pytest.mark.parametrize(("config", "label"), [(COARSE, "coarse"), (FINE, "c2f")])
def test_it_goes_where_it_fits(fine_tune, config, label):
    weights = fine_tune(random_fine_tune(config, 0))
    assert match([weights], MODELS) == {label: weights}
    assert match([weights], {label: MODELS[label]}) == {label: weights}


def test_one_for_each(fine_tune):
    one, other = fine_tune(random_fine_tune(FINE, 0)), fine_tune(random_fine_tune(COARSE, 0), "b.pth")
    assert match([one, other], MODELS) == {"c2f": one, "coarse": other}
    assert match([], MODELS) == {}


def test_compiled_names(fine_tune):
    weights = fine_tune({f"_orig_mod.{n}": t for n, t in random_fine_tune(COARSE, 0).items()})
    assert match([weights], MODELS) == {"coarse": weights}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: {n: t for n, t in s.items() if ADAPTED not in n}, rf"misses {ADAPTED}\.lora_A and 1 more"),
        (lambda s: {n: t for n, t in s.items() if n != f"{ADAPTED}.lora_B"}, rf"misses {ADAPTED}\.lora_B \("),
        (
            lambda s: s | {"transformer.layers.0.self_attn.w_ks.lora_A": torch.ones(8, 6)},
            r"no place for transformer\.layers\.0\.self_attn\.w_ks\.lora_A",
        ),
        (lambda s: s | {f"{ADAPTED}.lora_A": torch.ones(4, 6)}, rf"another shape in {ADAPTED}\.lora_A"),
        (lambda s: {f"model.{n}": t for n, t in s.items()}, "misses"),
    ],
)
def test_one_that_fits_nowhere(fine_tune, change, told):
    weights = fine_tune(change(random_fine_tune(COARSE, 0)))
    with pytest.raises(BadInputError, match=rf"tune\.pth fits no model here: .*{told}") as caught:
        match([weights], MODELS)
    assert caught.value.code == 3
    assert "(coarse)" in str(caught.value)
    assert "(c2f)" in str(caught.value)


def test_one_that_fits_both(fine_tune):
    models = {"coarse": architecture(COARSE), "c2f": architecture(TWIN)}
    with pytest.raises(UsageError, match=r"tune\.pth fits coarse and c2f") as caught:
        match([fine_tune(random_fine_tune(COARSE, 0))], models)
    assert caught.value.code == 2


def test_two_for_one(fine_tune):
    tunes = [fine_tune(random_fine_tune(COARSE, i), f"{i}.pth") for i in range(2)]
    with pytest.raises(UsageError, match="two fine-tunes fit coarse") as caught:
        match(tunes, MODELS)
    assert caught.value.code == 2


def test_flash_attention_has_pairs_in_the_feed_forward_only(fine_tune):
    config = replace(COARSE, flash_attn=True)
    state = random_fine_tune(config, 0)
    assert len(state) == 8
    weights = fine_tune(state)
    assert match([weights], {"coarse": architecture(config)}) == {"coarse": weights}
