"""The parts of the reference as modules with inputs, and both of torch's exporters."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim

from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.config import VampNetConfig
from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.random_audio_checkpoint import WAVEBEAT, random_codec, random_wavebeat
from vampconv.reference.random_checkpoint import random_state_dict
from vampconv.reference.vampnet import VampNetReference
from vampconv.reference.wavebeat import WaveBeatReference

EXPORTERS = ("dynamo", "torchscript")


@dataclass(frozen=True)
class Subject:
    """A module, its inputs by name, and which of their axes are dynamic."""

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    dynamic: Mapping[str, Mapping[int, Any]]


class Encoder(nn.Module):
    """Audio [batch, 1, samples], whole hops, to codes."""

    def __init__(self, codec: LACReference) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, audio: Tensor) -> Tensor:
        codes: Tensor = self.codec.quantizer(self.codec.encoder(audio)).codes
        return codes


class Decoder(nn.Module):
    """Codes [batch, n_codebooks, time] to audio."""

    def __init__(self, codec: LACReference) -> None:
        super().__init__()
        self.codec = codec

    def forward(self, codes: Tensor) -> Tensor:
        return self.codec.decode(self.codec.quantizer.from_codes(codes))


class Beats(nn.Module):
    """Audio [batch, 1, samples] at 22.05 kHz to activations."""

    def __init__(self, tracker: WaveBeatReference) -> None:
        super().__init__()
        self.tracker = tracker

    def forward(self, audio: Tensor) -> Tensor:
        activations: Tensor = self.tracker(audio)[1]
        return activations


def subjects(
    coarse: VampNetConfig, fine: VampNetConfig, codec: LACConfig, seconds: float
) -> Iterator[Subject]:
    """All parts with random weights, and noise of that length."""
    generator = torch.Generator().manual_seed(0)
    state = random_codec(codec, 0)
    lac = LACReference.from_state_dict(state, codec.to_kwargs())
    tables = codec_tables(state)
    frames = int(-(-seconds * codec.sample_rate // codec.hop))
    both = {0: Dim.DYNAMIC, 2: Dim.DYNAMIC}
    for name, config in (("coarse", coarse), ("c2f", fine)):
        weights = random_state_dict(config, seed=0)
        model = VampNetReference.from_state_dict(weights, config.to_kwargs(), tables)
        model.merge_lora()
        codes = torch.randint(config.vocab_size, (1, config.n_codebooks, frames), generator=generator)
        yield Subject(name, model, {"codes": codes}, {"codes": both})
    noise = 0.2 * torch.randn(1, 1, codec.hop * frames, generator=generator)
    hops = {0: Dim.DYNAMIC, 2: codec.hop * Dim("time", min=2, max=1 << 20)}
    yield Subject("encoder", Encoder(lac), {"audio": noise}, {"audio": hops})
    codes = torch.randint(codec.codebook_size, (1, codec.n_codebooks, frames), generator=generator)
    yield Subject("decoder", Decoder(lac), {"codes": codes}, {"codes": both})
    tracker = WaveBeatReference.from_checkpoint(random_wavebeat(WAVEBEAT, 0), WAVEBEAT.to_hyper_parameters())
    noise = torch.randn(1, 1, int(22050 * seconds), generator=generator)
    yield Subject("wavebeat", Beats(tracker), {"audio": noise}, {"audio": both})


def export(subject: Subject, kind: str, path: Path, opset: int) -> None:
    """Write what one of torch's exporters makes of a subject, with dynamic batch and time."""
    examples = {name: torch.cat([x, x]) for name, x in subject.inputs.items()}
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            if kind == "dynamo":
                program = torch.onnx.export(
                    subject.module, (), kwargs=examples, dynamic_shapes=dict(subject.dynamic),
                    dynamo=True, verbose=False,
                )  # fmt: skip
                assert program is not None
                program.save(path)
            else:
                axes = {n: {a: f"{n}_{a}" for a in dynamic} for n, dynamic in subject.dynamic.items()}
                torch.onnx.export(
                    subject.module, tuple(examples.values()), str(path), input_names=list(examples),
                    output_names=["output"], dynamic_axes=axes, dynamo=False, opset_version=opset,
                )  # fmt: skip
    finally:
        logging.disable(logging.NOTSET)
