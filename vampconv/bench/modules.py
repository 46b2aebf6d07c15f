"""The parts of the reference as modules that take what the graphs of a bundle take."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from vampconv.emit.manifest import read_manifest
from vampconv.plugins import load_plugins
from vampconv.reference.lac import LACReference
from vampconv.reference.vampnet import VampNetReference
from vampconv.reference.wavebeat import WaveBeatReference
from vampconv.verify.locate import Located
from vampconv.verify.recipe import open_recipe, recipes
from vampconv.verify.verify import find_subjects

CONTROL, MASK = "ctrl.", "ctrl_mask."
Inputs = Mapping[str, Any]


class Logits(nn.Module):
    """Codes [batch, n_codebooks, time] to logits [batch, vocab, time·n_predict]."""

    def __init__(self, model: VampNetReference) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        codes: Tensor,
        r: Tensor | None = None,
        controls: Mapping[str, Tensor] | None = None,
        masks: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        logits: Tensor = self.model(codes, r, controls, masks)
        return logits


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


def module(part: str, reference: nn.Module) -> nn.Module:
    """A part of a reference."""
    match reference:
        case VampNetReference():
            return Logits(reference)
        case LACReference():
            return Encoder(reference) if part == "encoder" else Decoder(reference)
        case WaveBeatReference():
            return Beats(reference)
    raise TypeError(f"{part} is a {type(reference).__name__}")


def load_reference(bundle: Path, paths: Mapping[str, Path], part: str) -> nn.Module:
    """The reference that a part of a bundle was made from, in float32, with LoRA pairs merged.

    Parameters
    ----------
    bundle
        The bundle.
    paths
        Its checkpoints, by their labels in the manifest.
    part
        One that the bundle holds.

    """
    manifest, plugins = read_manifest(bundle), load_plugins()
    located = Located(dict(paths))
    recipe = next(r for r in recipes(manifest) if part in r.files)
    with ExitStack() as stack:
        inputs = open_recipe(recipe, located, plugins, stack).inputs
        subject = next(s for s in find_subjects(inputs, plugins) if s.part == part)
        return subject.build(torch.float32)


def arguments(given: Inputs) -> dict[str, Any]:
    """Inputs of a graph, or what stands for them, as the keywords of its module."""
    plain = {name: value for name, value in given.items() if "." not in name}
    for keyword, prefix in (("controls", CONTROL), ("masks", MASK)):
        named = {n.removeprefix(prefix): value for n, value in given.items() if n.startswith(prefix)}
        plain |= {keyword: named} if named else {}
    return plain
