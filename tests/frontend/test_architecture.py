"""Sizes are read from the weights, and contradictions are named."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
import torch

from vampconv.checkpoint import open_checkpoint
from vampconv.errors import BadInputError, UnsupportedModelError, VampconvError
from vampconv.frontend.architecture import read_architecture
from vampconv.frontend.codec_tables import CodecTables
from vampconv.frontend.families import LAC, LORA, VAMPNET, WAVEBEAT
from vampconv.frontend.kinds import kind_of
from vampconv.frontend.vampnet import build_vampnet
from vampconv.frontend.weights import Weights
from vampconv.reference.config import VampNetConfig
from vampconv.reference.random_checkpoint import random_codec_tables, random_fine_tune, random_state_dict

CONFIG = VampNetConfig(
    n_heads=3, n_layers=2, n_codebooks=3, latent_dim=2, embedding_dim=9, vocab_size=7, flash_attn=False
)
C2F = replace(CONFIG, n_conditioning_codebooks=1)
FLASH = replace(CONFIG, flash_attn=True)
BIAS = "transformer.layers.0.self_attn.relative_attention_bias.weight"


@pytest.fixture
def opened(tmp_path):
    """Saves tensors and opens them again."""

    @contextmanager
    def make(state, kwargs=None):
        value = {"state_dict": dict(state), "metadata": {"kwargs": kwargs} if kwargs is not None else {}}
        torch.save(value, tmp_path / "model.pth")
        with open_checkpoint(tmp_path / "model.pth") as checkpoint:
            yield checkpoint

    return make


@pytest.fixture
def read(opened):
    def make(state, kwargs=None, codec_vocab=7):
        with opened(state, kwargs) as checkpoint:
            return read_architecture(Weights(checkpoint), checkpoint.metadata, codec_vocab)

    return make


@pytest.fixture
def build(opened, tmp_path):
    """Builds the graph of a checkpoint over its codec."""

    def make(state, kwargs=None, tables=None):
        config_tables = tables or random_codec_tables(3, 7, 2, 1)
        torch.save(config_tables, tmp_path / "codec.pth")
        with opened(state, kwargs) as checkpoint, open_checkpoint(tmp_path / "codec.pth") as codec:
            weights, lent = Weights(checkpoint), CodecTables.of(codec)
            found = read_architecture(weights, checkpoint.metadata, lent.vocab_size)
            return build_vampnet(weights, found, lent.take(found, "model.pth"), opset=17)

    return make


@pytest.mark.parametrize(
    "config",
    [
        CONFIG,
        C2F,
        replace(CONFIG, n_layers=11),
        replace(CONFIG, r_cond_dim=5),
        replace(C2F, ctrl_dims={"loud": 1, "pitch": 4}),
        replace(CONFIG, n_heads=1),
    ],
)
@pytest.mark.parametrize("with_kwargs", [True, False])
def test_read_from_the_weights(read, config, with_kwargs):
    found = read(random_state_dict(config, 0), config.to_kwargs() if with_kwargs else None)
    values = found.as_json()
    assert values == {**vars(config), "ctrl_dims": dict(config.ctrl_dims)}
    assert found.part == ("c2f" if config.n_conditioning_codebooks else "coarse")
    assert found.n_predict == config.n_predict


def test_flash_needs_its_heads_from_the_metadata(read):
    state = random_state_dict(FLASH, 0)
    assert read(state, FLASH.to_kwargs()).flash_attn
    assert read(state, {"n_heads": 3}).n_heads == 3
    with pytest.raises(BadInputError, match=r"number of attention heads.*n_heads"):
        read(state)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("n_layers", 3),
        ("n_layers", 1),
        ("n_layers", None),
        ("n_heads", 9),
        ("embedding_dim", 12),
        ("n_codebooks", 4),
        ("n_conditioning_codebooks", 1),
        ("latent_dim", 8),
        ("r_cond_dim", 10),
        ("ctrl_dims", {"loud": 1}),
        ("n_layers", "2"),
        ("n_layers", np.array([2, 2])),
        ("ctrl_dims", {"loud": np.ones(3)}),
        ("n_heads", np.array(3)),
    ],
)
def test_contradictions_are_named(read, field, value):
    with pytest.raises(BadInputError, match=rf"model\.pth.*metadata says {field}=") as caught:
        read(random_state_dict(CONFIG, 0), {**CONFIG.to_kwargs(), field: value})
    assert caught.value.code == 3


def test_control_dims_must_agree(read):
    config = replace(CONFIG, ctrl_dims={"loud": 2})
    with pytest.raises(BadInputError, match="ctrl_dims"):
        read(random_state_dict(config, 0), {**config.to_kwargs(), "ctrl_dims": {"loud": 3}})
    with pytest.raises(BadInputError, match="ctrl_dims"):
        read(random_state_dict(config, 0), {**config.to_kwargs(), "ctrl_dims": None})


@pytest.mark.parametrize("vocab", [5, 20, 1000, 1])
def test_a_vocabulary_that_does_not_fit(read, vocab):
    state = random_state_dict(CONFIG, 0)
    with pytest.raises(BadInputError, match=rf"classifier\.layers\.0 has 21 rows, not {vocab}"):
        read(state, {**CONFIG.to_kwargs(), "vocab_size": vocab})
    with pytest.raises(BadInputError, match=rf"classifier\.layers\.0 has 21 rows, not {vocab}"):
        read(state, None, codec_vocab=vocab)


def test_a_vocabulary_that_nothing_tells(read):
    state = random_state_dict(CONFIG, 0)
    with pytest.raises(BadInputError, match="vocabulary"):
        read(state, None, codec_vocab=None)
    for wrong in (None, 0, True, "7", 7.0, -7, np.array(7)):
        with pytest.raises(BadInputError, match="vocabulary"):
            read(state, {**CONFIG.to_kwargs(), "vocab_size": wrong})


def test_heads_that_do_not_divide(read):
    state = random_state_dict(CONFIG, 0) | {BIAS: torch.ones(32, 4)}
    with pytest.raises(BadInputError, match="4 attention heads do not divide 9"):
        read(state)


@pytest.mark.parametrize("mode", ["noise", "", "random", 3, np.ones(2)])
def test_other_noise_modes(read, mode):
    with pytest.raises(UnsupportedModelError, match="noise_mode=") as caught:
        read(random_state_dict(CONFIG, 0), {**CONFIG.to_kwargs(), "noise_mode": mode})
    assert caught.value.code == 4


def test_flash_without_its_weights(read):
    kwargs = {**CONFIG.to_kwargs(), "flash_attn": True}
    with pytest.raises(UnsupportedModelError, match=r"flash_attn=True.*self_attn\.Wqkv\.weight") as caught:
        read(random_state_dict(CONFIG, 0), kwargs)
    assert caught.value.code == 4


def test_flash_weights_without_the_flag(read):
    with pytest.raises(BadInputError, match="flash_attn=False"):
        read(random_state_dict(FLASH, 0), {**FLASH.to_kwargs(), "flash_attn": False})


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_too_few_frequencies(build, dim):
    config = replace(CONFIG, r_cond_dim=max(dim, 1))
    state = random_state_dict(replace(config, r_cond_dim=4), 0)
    state |= {n: t[:, :dim] for n, t in state.items() if n.endswith(("gamma.weight", "beta.weight"))}
    with pytest.raises(UnsupportedModelError, match=f"r_cond_dim={dim}"):
        build(state)


def test_every_tensor_is_missed_by_name(build):
    for config in (replace(C2F, ctrl_dims={"loud": 1}), replace(CONFIG, r_cond_dim=4), FLASH):
        state, kwargs = random_state_dict(config, 0), config.to_kwargs()
        build(state, kwargs)
        for name in state:
            if config.flash_attn and name.endswith(("Wqkv.bias", "out_proj.bias")):
                continue  # optional there
            reduced = {n: t for n, t in state.items() if n != name}
            for given in (kwargs, {"n_heads": 3}):
                with pytest.raises(VampconvError) as caught:
                    build(reduced, given)
                told = "ctrl_dims" if name.startswith("ctrl_encoder") and name.endswith(".weight") else name
                if given is not kwargs and told == "ctrl_dims":
                    told = "loud"  # its bias is unexpected then
                if name == "transformer.layers.0.film_1.gamma.weight":
                    told = "r_cond_dim" if given is kwargs else "film_1"
                if name == "transformer.layers.0.self_attn.Wqkv.weight" and given is not kwargs:
                    told = BIAS
                assert told in str(caught.value), name
                assert caught.value.code in (3, 4)


def test_every_tensor_is_found_misshapen_by_name(build):
    config = replace(C2F, ctrl_dims={"loud": 2})
    state = random_state_dict(config, 0)
    for name, tensor in state.items():
        for wrong in (tensor[:-1], tensor[..., None], torch.cat([tensor, tensor]), tensor.reshape(-1)[0]):
            with pytest.raises(BadInputError) as caught:
                build(state | {name: wrong})
            assert caught.value.code == 3
        with pytest.raises(
            BadInputError, match="ctrl_dims|n_|_dim|classifier.layers.0 has|" + name.replace(".", r"\.")
        ):
            build(state | {name: torch.cat([tensor, tensor])}, config.to_kwargs())


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.bool, torch.complex64])
def test_every_tensor_must_be_floating_point(build, dtype):
    state = random_state_dict(C2F, 0)
    for name, tensor in state.items():
        with pytest.raises(BadInputError, match=name.replace(".", r"\.")) as caught:
            build(state | {name: tensor.to(dtype)})
        assert caught.value.code == 3


def test_several_missing_tensors_are_all_counted(build):
    state = random_state_dict(CONFIG, 0)
    state = {n: t for n, t in state.items() if not n.endswith("norm_3.weight") and "feed_forward" not in n}
    with pytest.raises(BadInputError, match=r"misses 6 tensors: .*norm_3\.weight.* and 2 more"):
        build(state)


@pytest.mark.parametrize(
    "name",
    [
        "transformer.layers.1.norm_2.weight",
        "transformer.layers.0.self_attn.w_qs.bias",
        "transformer.layers.1.self_attn.relative_attention_bias.weight",
        "embedding.special.PAD",
        "classifier.layers.0.weight",
        "extra",
    ],
)
def test_unexpected_tensors_are_named(build, name):
    with pytest.raises(UnsupportedModelError, match="unexpected.*" + name.replace(".", r"\.")) as caught:
        build(random_state_dict(CONFIG, 0) | {name: torch.ones(9)})
    assert caught.value.code == 4


def test_a_gap_among_the_layers(build):
    state = random_state_dict(CONFIG, 0)
    state = {n.replace("layers.1.", "layers.2."): t for n, t in state.items()}
    with pytest.raises(BadInputError, match=r"transformer\.layers\.1\."):
        build(state)


@pytest.mark.parametrize("number", ["1000000", "9" * 100])
def test_a_layer_of_absurd_number(build, number):
    """Not as many layers are tried."""
    state = random_state_dict(CONFIG, 0) | {f"transformer.layers.{number}.norm_1.weight": torch.ones(9)}
    with pytest.raises(BadInputError, match=rf"transformer\.layers\.2\., but goes on to layer {number};"):
        build(state, {})


@pytest.mark.parametrize("half", ["lora_A", "lora_B"])
def test_half_a_pair(build, half):
    state = random_state_dict(CONFIG, 0, lora=False)
    module = "transformer.layers.1.feed_forward.w_1"
    other = "lora_B" if half == "lora_A" else "lora_A"
    size = (8, 9) if half == "lora_A" else (36, 8)
    build(state | {f"{module}.lora_A": torch.ones(8, 9), f"{module}.lora_B": torch.ones(36, 8)})
    with pytest.raises(BadInputError, match=f"{module}.{other}".replace(".", r"\.")):
        build(state | {f"{module}.{half}": torch.ones(size)})
    with pytest.raises(BadInputError, match=r"lora_A \[4, 9\] \(should be \[8, 9\]\)"):
        build(state | {f"{module}.lora_A": torch.ones(4, 9), f"{module}.lora_B": torch.ones(36, 4)})


def test_keys_have_no_pair(build):
    pair = {
        "transformer.layers.0.self_attn.w_ks.lora_A": torch.ones(8, 9),
        "transformer.layers.0.self_attn.w_ks.lora_B": torch.ones(9, 8),
    }
    with pytest.raises(UnsupportedModelError, match="w_ks"):
        build(random_state_dict(CONFIG, 0) | pair)


def test_the_same_tensor_with_and_without_the_prefix(build):
    state = random_state_dict(CONFIG, 0)
    with pytest.raises(BadInputError, match=r"transformer\.norm\.weight twice"):
        build(state | {"_orig_mod.transformer.norm.weight": torch.ones(9)})


@pytest.mark.parametrize(
    ("tables", "told"),
    [
        (random_codec_tables(2, 7, 2, 1), "has 2 codebooks, but model.pth uses 3"),
        (random_codec_tables(3, 7, 5, 1), r"is \[7, 5\], but model.pth needs \[7, 2\]"),
        (random_codec_tables(3, 3, 2, 1), "21 rows, not 3"),
        ({n: t.long() for n, t in random_codec_tables(3, 7, 2, 1).items()}, "should be floating-point"),
    ],
)
def test_codecs_that_do_not_fit(build, tables, told):
    with pytest.raises(BadInputError, match=told) as caught:
        build(random_state_dict(CONFIG, 0), None, tables)
    assert caught.value.code == 3


def test_one_table_that_differs(build):
    tables = random_codec_tables(3, 7, 2, 1)
    tables["quantizer.quantizers.2.codebook.weight"] = torch.ones(8, 2)
    with pytest.raises(BadInputError, match=r"quantizers\.2.*\[8, 2\]"):
        build(random_state_dict(CONFIG, 0), CONFIG.to_kwargs(), tables)


def test_kinds(opened):
    states = [
        (VAMPNET, random_state_dict(CONFIG, 0)),
        (LAC, random_codec_tables(2, 3, 4, 0)),
        (LORA, random_fine_tune(CONFIG, 0)),
        (WAVEBEAT, {"blocks.0.conv1.weight": torch.ones(1), "output.weight": torch.ones(1)}),
    ]
    for kind, state in states:
        for prefix in ("", "_orig_mod."):
            with opened({prefix + n: t for n, t in state.items()}) as checkpoint:
                assert kind_of(checkpoint) is kind
    with (
        opened({"a.weight": torch.ones(1)}) as checkpoint,
        pytest.raises(UnsupportedModelError, match=r"a\.weight"),
    ):
        kind_of(checkpoint)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("coarse", VAMPNET),
        ("c2f", VAMPNET),
        ("coarse_ctrl", VAMPNET),
        ("coarse_film", VAMPNET),
        ("coarse_lora", LORA),
        ("codec", LAC),
        ("codec_odd", LAC),
        ("wavebeat", WAVEBEAT),
    ],
)
def test_kinds_of_golden_checkpoints_under_any_name(workshop, tmp_path, name, kind):
    path = tmp_path / "anything at all"
    path.write_bytes((workshop.golden / f"{name}.pth").read_bytes())
    with open_checkpoint(path) as checkpoint:
        assert kind_of(checkpoint) is kind


@pytest.mark.parametrize("rates", [[True, False], [], [10**100] * 60, [-8], ["8"], None])
def test_nonsense_in_the_metadata_of_a_codec_is_no_fact(opened, rates):
    kwargs = {"sample_rate": True, "decoder_rates": rates}
    with opened(random_codec_tables(3, 7, 2, 1), kwargs) as codec:
        assert CodecTables.of(codec).facts() == {}
