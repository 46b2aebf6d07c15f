"""The reference codec repeats what the original recorded, and loads its state dict strictly."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vampconv.errors import BadInputError
from vampconv.reference.activations import record_activations
from vampconv.reference.lac import LACReference

RECORDINGS = ["codec_n3841", "codec_n5376", "codec_n6911"]
ODD_LENGTHS = [105, 150, 151, 299]
ORIGINAL = 8e-6
"""How far the recordings, made in float32, lie from float64. Measured: at most 7.0e-6 (decoded audio)."""
ROUNDING = 3
"""Our float32 may differ from a recording by this many times its distance from float64. Measured: 0, bit for bit,
with the torch and the processor that recorded it."""


def codec(workshop, name="codec", dtype=torch.float32):
    saved = workshop.load(name)
    return LACReference.from_state_dict(saved["state_dict"], saved["metadata"]["kwargs"], dtype)


def repeat(model, audio, codes):
    """Everything that is recorded of one sound, computed from its audio and its codes."""
    dtype = next(model.parameters()).dtype
    with record_activations(model.encoder) as encoder, record_activations(model.quantizer) as quantizer:
        encoded = model.encode(torch.from_numpy(audio).to(dtype))
    codes = torch.from_numpy(codes)
    zq = model.quantizer.from_codes(codes)
    found = {f"act/encoder.{path}": output for path, output in encoder.items()}
    found |= {f"act/quantizer.{path}": output for path, output in quantizer.items()}
    found |= {"act/encoder": encoded["z"], "z": encoded["z"], "codes": encoded["codes"], "zq": zq}
    found |= {"latents": model.code_latents(codes), "decoded": model.decode(zq)}
    return found | {"vampnet_decode": model.decode_codes(codes)}, encoded


@pytest.mark.parametrize("recording", RECORDINGS)
def test_every_recorded_tensor_is_repeated(workshop, relative, record_property, recording):
    arrays = workshop.recorded(recording)
    single, encoded = repeat(codec(workshop), arrays["audio"], arrays["codes"])
    double, _ = repeat(codec(workshop, dtype=torch.float64), arrays["audio"], arrays["codes"])
    outputs = arrays.keys() - {"audio"}
    assert outputs <= single.keys()
    assert outputs == single.keys() or not any(key.startswith("act/") for key in outputs)
    for found in (single, double):
        assert np.array_equal(found["codes"], arrays["codes"])
    own = {key: relative(double[key], arrays[key]) for key in outputs}
    errors = {key: relative(single[key], arrays[key]) for key in outputs}
    record_property("worst float64", max(own.values()))
    record_property("worst float32", max(errors.values()))
    for key in outputs:
        assert own[key] <= ORIGINAL, key
        assert errors[key] <= ROUNDING * own[key], key
    # the encoder's own sum takes each row by way of its straight-through estimate, which rounds: measured 2.9e-7
    assert relative(encoded["zq"], arrays["zq"]) <= 5e-7


@pytest.mark.parametrize("length", ODD_LENGTHS)
def test_odd_strides(workshop, relative, length):
    audio, codes, decoded = (
        torch.from_numpy(workshop.recorded("codec_odd")[f"n{length}/{part}"])
        for part in ("audio", "codes", "decoded")
    )
    single, double = codec(workshop, "codec_odd"), codec(workshop, "codec_odd", torch.float64)
    own = relative(double.decode_codes(codes), decoded)
    assert own <= 3e-6  # measured: at most 2.2e-6
    assert relative(single.decode_codes(codes), decoded) <= ROUNDING * own
    for model in (single, double):
        encoded = model.encode(audio.to(model.encoder.block[0].bias.dtype))
        assert torch.equal(encoded["codes"], codes)
    assert codes.shape[-1] == single.config.frames(length)
    assert decoded.shape[-1] == single.config.samples(codes.shape[-1])


def test_mask_tokens_decode_as_code_0(workshop, relative):
    arrays = {
        key: torch.from_numpy(array) for key, array in workshop.recorded("decode_with_mask_tokens").items()
    }
    codes = arrays["codes"]
    assert (codes == 64).any()
    own = relative(codec(workshop, dtype=torch.float64).decode_codes(codes), arrays["audio"])
    assert own <= ORIGINAL
    model = codec(workshop)
    assert relative(model.decode_codes(codes), arrays["audio"]) <= ROUNDING * own
    assert torch.equal(model.decode_codes(codes), model.decode_codes(codes.masked_fill(codes == 64, 0)))
    assert relative(model.decode_codes(codes.masked_fill(codes == 64, 1)), arrays["audio"]) > 0.01


@pytest.mark.parametrize(
    ("weight", "seen_in"),
    [
        ("encoder.block.0.weight_g", "z"),
        ("encoder.block.1.block.2.block.2.alpha", "z"),
        ("encoder.block.4.block.4.bias", "z"),
        ("encoder.block.6.weight_g", "z"),
        ("quantizer.quantizers.13.in_proj.weight_g", "act/quantizer.quantizers.13.in_proj"),
        ("quantizer.quantizers.9.out_proj.bias", "zq"),
        ("quantizer.quantizers.0.codebook.weight", "latents"),
        ("decoder.model.0.weight_g", "decoded"),
        ("decoder.model.1.block.1.weight_g", "decoded"),
        ("decoder.model.2.block.2.mrf_blocks.1.block.2.layer.3.weight_g", "decoded"),
        ("decoder.model.5.alpha", "vampnet_decode"),
        ("decoder.model.6.bias", "vampnet_decode"),
    ],
)
def test_a_wrong_weight_is_seen(workshop, relative, weight, seen_in):
    arrays = workshop.recorded("codec_n5376")
    model = codec(workshop)
    parameter = model.get_parameter(weight)
    parameter.data = parameter.data * 1.01
    found, _ = repeat(model, arrays["audio"], arrays["codes"])
    assert relative(found[seen_in], arrays[seen_in]) > 10 * ORIGINAL


def test_names_and_shapes_are_the_original_ones_in_its_order(workshop):
    for name in ("codec", "codec_odd"):
        ours, original = codec(workshop, name).state_dict(), workshop.load(name)["state_dict"]
        assert [(n, t.shape) for n, t in ours.items()] == [(n, t.shape) for n, t in original.items()]
        assert all(torch.equal(ours[n], tensor) for n, tensor in original.items())


def test_loading_is_strict(workshop):
    saved = workshop.load("codec_odd")
    state, kwargs = saved["state_dict"], saved["metadata"]["kwargs"]
    compiled = {f"_orig_mod.{name}": tensor for name, tensor in state.items()}
    assert LACReference.from_state_dict(compiled, kwargs).state_dict().keys() == state.keys()
    for name in state:
        with pytest.raises(BadInputError, match=f"missing tensor {name};"):
            LACReference.from_state_dict({n: t for n, t in state.items() if n != name}, kwargs)
    with pytest.raises(BadInputError, match="unexpected tensor spare"):
        LACReference.from_state_dict(state | {"spare": torch.ones(1)}, kwargs)
    with pytest.raises(BadInputError, match="has shape"):
        LACReference.from_state_dict(state, kwargs | {"encoder_rates": [3, 4]})


@pytest.mark.parametrize(
    "change",
    [
        {"encoder_rates": [2, 0]},
        {"decoder_rates": []},
        {"decoder_rates": "53"},
        {"decoder_dim": 3},
        {"codebook_dim": [8, 8]},
        {"codebook_dim": 8.0},
        {"n_codebooks": True},
    ],
    ids=str,
)
def test_impossible_architectures_are_refused(workshop, change):
    saved = workshop.load("codec_odd")
    with pytest.raises(BadInputError, match="; check the kwargs"):
        LACReference.from_state_dict(saved["state_dict"], saved["metadata"]["kwargs"] | change)


def test_codes_that_are_none_are_refused(workshop):
    model = codec(workshop, "codec_odd")
    for code in (-1, 33):
        with pytest.raises(IndexError):
            model.decode_codes(torch.full((1, 1, 2), code))
    for n in (0, 5):
        with pytest.raises(ValueError, match="the codec has 4 codebooks"):
            model.decode_codes(torch.zeros(1, n, 2, dtype=torch.int64))
