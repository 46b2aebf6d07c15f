"""The reference repeats what the original recorded: latents, every module's output, logits."""

from __future__ import annotations

import pytest
import torch

from vampconv.reference.activations import record_activations

CASES = [  # recording, checkpoint and fine-tune
    ("coarse_b1_t13", "coarse", None),
    ("coarse_b1_t40", "coarse", None),
    ("coarse_b2_t13", "coarse", None),
    ("c2f_b1_t13", "c2f", None),
    ("c2f_b1_t40", "c2f", None),
    ("c2f_b2_t13", "c2f", None),
    ("coarse_ctrl", "coarse_ctrl", None),
    ("coarse_film", "coarse_film", None),
    ("coarse_lora", "coarse", "coarse_lora"),
]
BOUND = 5e-7  # measured: at most 2.9e-7


def recorded(workshop, name):
    """A recording of the original as tensors, and the arguments by which the reference repeats it."""
    arrays = {key: torch.from_numpy(array) for key, array in workshop.recorded(name).items()}
    inputs = {key: arrays[key] for key in ("codes", "r") if key in arrays}
    for group, argument in (("ctrl/", "ctrls"), ("ctrl_mask/", "ctrl_masks")):
        named = {key.removeprefix(group): arrays[key] for key in arrays if key.startswith(group)}
        inputs |= {argument: named} if named else {}
    return arrays, inputs


cases = pytest.mark.parametrize(("recording", "base", "lora"), CASES, ids=[case[0] for case in CASES])


@cases
def test_every_recorded_tensor_is_repeated(workshop, relative, record_property, recording, base, lora):
    arrays, inputs = recorded(workshop, recording)
    model = workshop.reference(base, lora)
    with record_activations(model) as activations:
        logits = model(**inputs)
    found = {f"act/{path}": output for path, output in activations.items()}
    found |= {"logits": logits, "latents": model.latents(inputs["codes"])}
    if "r" in inputs:
        found["r_embed"] = model.r_embed(inputs["r"])

    outputs = arrays.keys() - {"codes", "r"} - {key for key in arrays if key.startswith("ctrl")}
    assert outputs <= found.keys()
    if any(key.startswith("act/") for key in arrays):
        assert outputs == found.keys()
    errors = {key: relative(found[key], arrays[key]) for key in outputs}
    worst = max(errors, key=errors.__getitem__)
    record_property("logits", errors["logits"])
    record_property(f"worst of {len(errors)}: {worst}", errors[worst])
    assert errors[worst] <= BOUND, worst
    assert torch.equal(logits.argmax(1), arrays["logits"].argmax(1))


@cases
def test_float64_agrees(workshop, relative, record_property, recording, base, lora):
    arrays, inputs = recorded(workshop, recording)
    logits = workshop.reference(base, lora, dtype=torch.float64)(**inputs)
    assert logits.dtype == torch.float64
    assert torch.equal(workshop.reference(base, lora).double()(**inputs), logits)
    errors = [
        relative(other, logits) for other in (arrays["logits"], workshop.reference(base, lora)(**inputs))
    ]
    record_property("original and reference from float64", errors)
    assert max(errors) <= BOUND


@cases
def test_merged_pairs_compute_the_same(workshop, relative, recording, base, lora):
    arrays, inputs = recorded(workshop, recording)
    model = workshop.reference(base, lora)
    model.merge_lora()
    assert not any("lora" in name for name in model.state_dict())
    assert relative(model(**inputs), arrays["logits"]) <= BOUND


@pytest.mark.parametrize(
    ("recording", "base", "lora", "weight"),
    [
        ("c2f_b1_t13", "c2f", None, "embedding.special.MASK"),
        ("coarse_b1_t13", "coarse", None, "transformer.layers.0.self_attn.relative_attention_bias.weight"),
        ("coarse_b1_t13", "coarse", None, "transformer.layers.1.self_attn.w_ks.weight"),
        ("coarse_b1_t13", "coarse", None, "transformer.layers.2.feed_forward.w_2.lora_B"),
        ("c2f_b1_t13", "c2f", None, "classifier.layers.0.weight_g"),
        ("coarse_ctrl", "coarse_ctrl", None, "ctrl_encoder.ctrl_encoders.rmsq16.bias"),
        ("coarse_film", "coarse_film", None, "transformer.layers.1.film_3.beta.weight"),
        ("coarse_lora", "coarse", "coarse_lora", "transformer.layers.0.self_attn.fc.lora_A"),
    ],
)
def test_a_wrong_weight_is_seen(workshop, relative, recording, base, lora, weight):
    arrays, inputs = recorded(workshop, recording)
    model = workshop.reference(base, lora)
    parameter = model.get_parameter(weight)
    parameter.data = parameter.data * 1.01
    assert relative(model(**inputs), arrays["logits"]) > 10 * BOUND


def test_a_fine_tune_matters(workshop, relative):
    arrays, inputs = recorded(workshop, "coarse_lora")
    assert relative(workshop.reference("coarse")(**inputs), arrays["logits"]) > 0.01
