"""Converted golden checkpoints repeat in ONNX Runtime what the original recorded."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch

from ..common import OPSETS

BOUND = 1e-5
CASES = {  # recording: checkpoint, fine-tune, part
    "coarse_b1_t13": ("coarse", None, "coarse"),
    "coarse_b1_t40": ("coarse", None, "coarse"),
    "coarse_b2_t13": ("coarse", None, "coarse"),
    "c2f_b1_t13": ("c2f", None, "c2f"),
    "c2f_b1_t40": ("c2f", None, "c2f"),
    "c2f_b2_t13": ("c2f", None, "c2f"),
    "coarse_lora": ("coarse", "coarse_lora", "coarse"),
    "coarse_ctrl": ("coarse_ctrl", None, "coarse"),
    "coarse_film": ("coarse_film", None, "coarse"),
}


def feeds_of(arrays):
    feeds = {key: arrays[key] for key in ("codes", "r") if key in arrays}
    return feeds | {k.replace("/", "."): v.astype(np.float32) for k, v in arrays.items() if k[:4] == "ctrl"}


def reference_logits(workshop, base, lora, feeds):
    """The float64 truth, in the layout of the bundle."""
    tensors = {k: torch.from_numpy(v) for k, v in feeds.items()}
    controls = {k.removeprefix("ctrl."): v for k, v in tensors.items() if k.startswith("ctrl.")}
    masks = {k.removeprefix("ctrl_mask."): v for k, v in tensors.items() if k.startswith("ctrl_mask.")}
    model = workshop.reference(base, lora, torch.float64)
    logits = model(tensors["codes"], tensors.get("r"), controls or None, masks or None)
    return logits.numpy().transpose(0, 2, 1)


def convert_golden(workshop, base, lora, opset):
    loras = [workshop.golden / f"{lora}.pth"] if lora else []
    return workshop.bundle(base, "codec", loras=loras, opset=opset)


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("recording", CASES)
def test_logits(workshop, relative, record_property, recording, opset):
    base, lora, part = CASES[recording]
    arrays = workshop.recorded(recording)
    feeds = feeds_of(arrays)
    bundle = convert_golden(workshop, base, lora, opset)
    assert onnx.load(bundle / f"{part}.onnx", load_external_data=False).opset_import[0].version == opset
    found = workshop.logits(workshop.session(bundle, part), feeds)
    recorded = arrays["logits"].transpose(0, 2, 1)  # the original gives batch, vocab, (time codebook)
    error = relative(found, recorded)
    record_property("relative L2", error)
    assert error <= BOUND

    truth = reference_logits(workshop, base, lora, feeds)
    ours, theirs = found.argmax(-1), recorded.argmax(-1)
    worst = np.abs(found - truth).max(-1) + np.abs(recorded - truth).max(-1)
    margin = np.abs(
        np.take_along_axis(truth, ours[..., None], -1) - np.take_along_axis(truth, theirs[..., None], -1)
    )[..., 0]
    flips = ours != theirs
    record_property("flips", int(flips.sum()))
    assert (margin <= worst)[flips].all()


@pytest.mark.parametrize("opset", OPSETS)
def test_both_models_in_one_bundle_are_those_of_two(workshop, opset):
    both = workshop.bundle("coarse", "c2f", "codec", opset=opset)
    for part in ("coarse", "c2f"):
        alone = workshop.bundle(part, "codec", opset=opset)
        for name in (f"{part}.onnx", f"{part}.onnx.data"):
            assert (both / name).read_bytes() == (alone / name).read_bytes()


def test_a_fine_tune_changes_the_logits(workshop, relative):
    arrays = workshop.recorded("coarse_lora")
    found = workshop.logits(workshop.session(workshop.bundle("coarse", "codec")), {"codes": arrays["codes"]})
    assert relative(found, arrays["logits"].transpose(0, 2, 1)) > 0.01


@pytest.mark.parametrize("name", ["ctrl.{}", "ctrl_mask.{}"])
def test_every_control_matters(workshop, relative, name):
    arrays = workshop.recorded("coarse_ctrl")
    feeds = feeds_of(arrays)
    session = workshop.session(workshop.bundle("coarse_ctrl", "codec"))
    wanted = workshop.logits(session, feeds)
    controls = [k.removeprefix("ctrl/") for k in arrays if k.startswith("ctrl/")]
    assert len(controls) == 2
    for control in controls:
        changed = feeds | {name.format(control): feeds[name.format(control)] * 0.5 + 0.25}
        assert relative(workshop.logits(session, changed), wanted) > 1e-4


def test_the_noise_level_matters_for_each_of_a_batch(workshop, relative):
    arrays = workshop.recorded("coarse_film")
    session = workshop.session(workshop.bundle("coarse_film", "codec"))
    codes = np.repeat(arrays["codes"][:1], 3, axis=0)
    together = workshop.logits(session, {"codes": codes, "r": np.float32([0.1, 0.5, 1.0])})
    for i, r in enumerate((0.1, 0.5, 1.0)):
        alone = workshop.logits(session, {"codes": codes[:1], "r": np.float32([r])})
        assert relative(together[i : i + 1], alone) < 1e-6
    assert relative(together[:1], together[1:2]) > 1e-3
