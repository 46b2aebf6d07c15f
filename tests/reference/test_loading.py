"""Loading is strict: what is missing, left over or misshapen is named."""

from __future__ import annotations

import pytest
import torch

from vampconv.errors import BadInputError
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.vampnet import VampNetReference

PAIR = "transformer.layers.1.feed_forward.w_1.lora"


@pytest.fixture
def parts(workshop):
    saved = workshop.load("coarse")
    return (
        saved["state_dict"],
        saved["metadata"]["kwargs"],
        codec_tables(workshop.load("codec")["state_dict"]),
    )


@pytest.mark.parametrize("name", ["coarse", "c2f", "coarse_ctrl", "coarse_film"])
def test_names_and_shapes_are_the_original_ones_in_its_order(workshop, name):
    ours, original = workshop.reference(name).state_dict(), workshop.load(name)["state_dict"]
    assert [(n, t.shape) for n, t in ours.items()] == [(n, t.shape) for n, t in original.items()]
    assert all(torch.equal(ours[n], tensor) for n, tensor in original.items())


def test_every_missing_tensor_is_named(parts):
    state, *rest = parts
    for name in (name for name in state if ".lora_" not in name):
        with pytest.raises(BadInputError, match=f"missing tensor {name};"):
            VampNetReference.from_state_dict({n: t for n, t in state.items() if n != name}, *rest)


def test_unexpected_and_misshapen_tensors_are_named(parts):
    state, *rest = parts
    with pytest.raises(BadInputError, match="unexpected tensor spare and 1 more;"):
        VampNetReference.from_state_dict(state | {"spare": torch.ones(1), "tyre": torch.ones(1)}, *rest)
    bias = "classifier.layers.0.bias"
    with pytest.raises(BadInputError, match=rf"{bias} has shape \[1\], not \[256\]"):
        VampNetReference.from_state_dict(state | {bias: torch.ones(1)}, *rest)


def test_pairs_may_be_absent_but_not_halved(parts):
    state, *rest = parts
    bare = {name: tensor for name, tensor in state.items() if ".lora_" not in name}
    assert VampNetReference.from_state_dict(bare, *rest).state_dict().keys() == bare.keys()
    for half, other in (("A", "B"), ("B", "A")):
        with pytest.raises(BadInputError, match=f"missing tensor {PAIR}_{other};"):
            VampNetReference.from_state_dict(bare | {f"{PAIR}_{half}": state[f"{PAIR}_{half}"]}, *rest)


def test_a_fine_tune_replaces_pairs(workshop, parts):
    state, *rest = parts
    fine = workshop.load("coarse_lora")
    one = {name: fine[name] for name in (f"{PAIR}_A", f"{PAIR}_B")}
    loaded = VampNetReference.from_state_dict(state, *rest, one).state_dict()
    assert all(torch.equal(tensor, (state | one)[name]) for name, tensor in loaded.items())


def test_a_wrong_fine_tune_is_refused(workshop, parts):
    fine = workshop.load("coarse_lora")
    half = {f"{PAIR}_A": fine[f"{PAIR}_A"]}
    stranger = {"transformer.layers.9.self_attn.fc.lora_A": fine[f"{PAIR}_A"]}
    stranger["transformer.layers.9.self_attn.fc.lora_B"] = fine[f"{PAIR}_B"]
    for lora, message in (
        ({}, "holds no LoRA pair"),
        (half, f"missing tensor {PAIR}_B"),
        (stranger, "unexpected tensor transformer.layers.9"),
        (fine | {"transformer.norm.weight": parts[0]["transformer.norm.weight"]}, "unexpected tensor"),
    ):
        with pytest.raises(BadInputError, match=message):
            VampNetReference.from_state_dict(*parts, lora)


def test_compiled_names_are_understood(parts):
    state, *rest = parts
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in state.items()}
    assert VampNetReference.from_state_dict(compiled, *rest).state_dict().keys() == state.keys()
    name = next(iter(state))
    with pytest.raises(BadInputError, match="twice"):
        VampNetReference.from_state_dict(state | {f"_orig_mod.{name}": state[name]}, *rest)


def test_narrow_weights_are_widened(parts):
    state, *rest = parts
    half = {name: tensor.half() for name, tensor in state.items()}
    loaded = VampNetReference.from_state_dict(half, *rest).state_dict()
    assert all(torch.equal(loaded[name], tensor.float()) for name, tensor in half.items())


def test_tables_must_fit(workshop, parts):
    state, kwargs, tables = parts
    with pytest.raises(BadInputError, match="the codec has 3 codebooks, the model 4"):
        VampNetReference.from_state_dict(state, kwargs, tables[:3])
    odd = codec_tables(workshop.load("codec_odd")["state_dict"])
    with pytest.raises(BadInputError, match=r"codec table 0 is \[32, 8\], not \[64, 8\]"):
        VampNetReference.from_state_dict(state, kwargs, odd)


def test_tables_of_a_codec(workshop):
    state = workshop.load("codec")["state_dict"]
    tables = codec_tables(state)
    assert [tuple(table.shape) for table in tables] == [(64, 8)] * 14
    assert torch.equal(tables[13], state["quantizer.quantizers.13.codebook.weight"])
    with pytest.raises(BadInputError, match=r"no quantizer\.quantizers\.5\..* but has"):
        codec_tables({n: t for n, t in state.items() if n != "quantizer.quantizers.5.codebook.weight"})
    with pytest.raises(BadInputError, match=r"no quantizer\.quantizers\.0\.codebook\.weight;"):
        codec_tables({})
