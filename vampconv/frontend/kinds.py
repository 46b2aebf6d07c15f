"""What a checkpoint is, told from its tensors and never from its file name."""

from __future__ import annotations

import enum

from vampconv.checkpoint import Checkpoint
from vampconv.errors import UnsupportedModelError
from vampconv.frontend.architecture import MASK
from vampconv.frontend.codec_tables import TABLE
from vampconv.frontend.weights import plain_name


class Kind(enum.Enum):
    """The families of checkpoints that are recognised, in the order in which a ledger lists them."""

    VAMPNET = "VampNet transformer"
    LORA = "LoRA fine-tune"
    CODEC = "LAC codec"
    WAVEBEAT = "WaveBeat beat tracker"


def kind_of(checkpoint: Checkpoint) -> Kind:
    """The family of a checkpoint.

    Raises
    ------
    UnsupportedModelError
        If it is none of those known.

    """
    names = {plain_name(name) for name in checkpoint.tensors}
    if names and all(n.endswith((".lora_A", ".lora_B")) for n in names):
        return Kind.LORA
    if MASK in names or any(n.startswith("transformer.layers.") for n in names):
        return Kind.VAMPNET
    if TABLE.format(0) in names:
        return Kind.CODEC
    if {"blocks.0.conv1.weight", "output.weight"} <= names:
        return Kind.WAVEBEAT
    shown = ", ".join(sorted(names)[:3]) or "no tensors"
    raise UnsupportedModelError(
        f"{checkpoint.path.name} is a sound checkpoint, but of no known model (it holds {shown})",
        "give a VampNet, LAC codec or LoRA checkpoint",
    )
