"""The models that are verified: for each part of a bundle its inputs, and the reference that is the truth."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vampconv.checkpoint import Checkpoint
from vampconv.convert.inputs import Inputs
from vampconv.frontend import lora
from vampconv.frontend.architecture import read_architecture
from vampconv.frontend.codec_tables import CodecTables
from vampconv.frontend.families import CODEC, FINE_TUNE, TRANSFORMER, WAVEBEAT
from vampconv.frontend.weights import Weights
from vampconv.reference.codec_tables import codec_tables
from vampconv.reference.config import VampNetConfig
from vampconv.reference.lac import LACReference
from vampconv.reference.lac_config import LACConfig
from vampconv.reference.vampnet import VampNetReference
from vampconv.reference.wavebeat import WaveBeatReference
from vampconv.verify.result import Case

Array = NDArray[Any]
Feeds = dict[str, Array]
MASKED = 0.5
"""Share of mask tokens in random codes."""
SAMPLES_PER_STEP = 256
"""Audio for each step of a model that has no hop."""


class Subject(Protocol):
    """A part, with what is needed to verify it."""

    part: str

    def build(self, dtype: torch.dtype) -> nn.Module:
        """The reference, in that precision."""

    def feeds(self, case: Case) -> Feeds:
        """Inputs of the ONNX graph."""

    def run(self, model: nn.Module, feeds: Feeds, outputs: Sequence[Array]) -> dict[str, Tensor]:
        """The reference's outputs by name (``.``, ``.#1``), of the same inputs.

        Where a model chooses codes and goes on with them, it is made to go on with those in `outputs`, if any.
        """


def tensors_of(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The state dict, each tensor in the precision that it is stored in, or float32 if torch has none such."""
    found = {}
    for name, tensor in Weights(checkpoint).tensors.items():
        array = tensor.read()
        known = array.dtype.kind in "iub" or array.dtype in (np.float16, np.float32, np.float64)
        found[name] = torch.from_numpy(array if known else array.astype(np.float32))
    return found


def kwargs_of(checkpoint: Checkpoint) -> Mapping[str, Any]:
    """The constructor arguments that a checkpoint of VampNet or LAC carries."""
    kwargs = checkpoint.metadata.get("kwargs")
    return kwargs if isinstance(kwargs, Mapping) else {}


@dataclass
class Transformer:
    """``coarse`` or ``c2f``."""

    part: str
    checkpoint: Checkpoint
    codec: Checkpoint
    fine_tune: Checkpoint | None = None
    _state: dict[str, Tensor] | None = None

    def __post_init__(self) -> None:
        self.config = VampNetConfig.from_kwargs(kwargs_of(self.checkpoint))

    def build(self, dtype: torch.dtype) -> nn.Module:
        lora = None if self.fine_tune is None else tensors_of(self.fine_tune)
        tables = codec_tables(tensors_of(self.codec))
        if self._state is None:
            self._state = tensors_of(self.checkpoint)  # read once: the float32 reference shares it
        state = self._state
        model = VampNetReference.from_state_dict(state, kwargs_of(self.checkpoint), tables, lora, dtype)
        model.merge_lora()
        return model

    def feeds(self, case: Case) -> Feeds:
        random, config = _random(case), self.config
        shape = case.batch, config.n_codebooks, case.length
        codes = random.integers(0, config.vocab_size, shape)
        feeds: Feeds = {"codes": np.where(random.random(shape) < MASKED, config.vocab_size, codes)}
        if config.r_cond_dim:
            feeds["r"] = np.array([_noise_level(random) for _ in range(case.batch)], np.float32)
        for name, size in config.ctrl_dims.items():
            feeds[f"ctrl.{name}"] = _normal(random, case.batch, size, case.length)
            mask = random.integers(0, 2, (case.batch, case.length))
            feeds[f"ctrl_mask.{name}"] = mask.astype(np.float32)
        return feeds

    def run(self, model: nn.Module, feeds: Feeds, _outputs: Sequence[Array]) -> dict[str, Tensor]:
        given = {name: torch.from_numpy(array) for name, array in feeds.items()}
        controls = {n.removeprefix("ctrl."): t for n, t in given.items() if n.startswith("ctrl.")}
        masks = {n.removeprefix("ctrl_mask."): t for n, t in given.items() if n.startswith("ctrl_mask.")}
        dtype = next(model.parameters()).dtype
        masks = {name: mask.to(dtype) for name, mask in masks.items()}
        return {".": model(given["codes"], given.get("r"), controls, masks)}


@dataclass
class Encoder:
    """``encoder``: audio to codes."""

    codec: Checkpoint
    part: str = "encoder"

    def build(self, dtype: torch.dtype) -> nn.Module:
        return LACReference.from_state_dict(tensors_of(self.codec), kwargs_of(self.codec), dtype)

    def feeds(self, case: Case) -> Feeds:
        random, config = _random(case), LACConfig.from_kwargs(kwargs_of(self.codec))
        samples = case.length * config.hop - int(random.integers(0, config.hop))
        least = next(n for n in range(1, 1 << 30) if config.frames(n) >= 1)
        return {"audio": _sound(random, case.batch, max(samples, least))}

    def run(self, model: nn.Module, feeds: Feeds, outputs: Sequence[Array]) -> dict[str, Tensor]:
        assert isinstance(model, LACReference)
        audio = torch.from_numpy(feeds["audio"]).to(next(model.parameters()).dtype)
        z = model.encoder(model.pad(audio))
        fits = bool(outputs) and codes_fit(model, outputs[0], z)
        return {".": model.quantizer(z, torch.from_numpy(outputs[0]) if fits else None).codes}


def codes_fit(model: LACReference, codes: Array, z: Tensor | None = None) -> bool:
    """Whether codes are of the model's codebooks, and of as many frames as z [batch, channels, time]."""
    rows, count = model.config.codebook_size, model.config.n_codebooks
    if codes.dtype != np.int64 or codes.ndim != 3 or codes.shape[1] != count or not codes.size:
        return False
    fits = z is None or (codes.shape[0], codes.shape[2]) == (z.shape[0], z.shape[2])
    return fits and bool((codes >= 0).all()) and bool((codes < rows).all())


@dataclass
class Decoder:
    """``decoder``: codes to audio."""

    codec: Checkpoint
    part: str = "decoder"

    def build(self, dtype: torch.dtype) -> nn.Module:
        return LACReference.from_state_dict(tensors_of(self.codec), kwargs_of(self.codec), dtype)

    def feeds(self, case: Case) -> Feeds:
        tables = codec_tables(tensors_of(self.codec))
        random, rows = _random(case), len(tables[0])
        every = (case.seed + case.batch + case.length) % 2 == 0
        count = len(tables) if every else int(random.integers(1, len(tables) + 1))
        return {"codes": random.integers(0, rows, (case.batch, count, case.length), endpoint=True)}

    def run(self, model: nn.Module, feeds: Feeds, _outputs: Sequence[Array]) -> dict[str, Tensor]:
        assert isinstance(model, LACReference)
        return {".": model.decode_codes(torch.from_numpy(feeds["codes"]))}


@dataclass
class BeatTracker:
    """``wavebeat``: audio to activations."""

    checkpoint: Checkpoint
    part: str = "wavebeat"

    def build(self, dtype: torch.dtype) -> nn.Module:
        given = self.checkpoint.metadata.get("hyper_parameters")
        hyper = given if isinstance(given, Mapping) else {}
        return WaveBeatReference.from_checkpoint(tensors_of(self.checkpoint), hyper, dtype)

    def feeds(self, case: Case) -> Feeds:
        random = _random(case)
        samples = case.length * SAMPLES_PER_STEP - int(random.integers(0, SAMPLES_PER_STEP))
        return {"audio": _sound(random, case.batch, samples)}

    def run(self, model: nn.Module, feeds: Feeds, _outputs: Sequence[Array]) -> dict[str, Tensor]:
        raw, activations = model(torch.from_numpy(feeds["audio"]).to(next(model.parameters()).dtype))
        return {".": raw, ".#1": activations}


def transformers(inputs: Inputs) -> Iterator[Subject]:
    """The parts of VampNet checkpoints, each with its codec and the fine-tune that fits."""
    codec = next(iter([*inputs.of(CODEC), *inputs.lenders]), None)
    fine_tunes = [Weights(c) for c in inputs.of(FINE_TUNE)]
    for checkpoint in inputs.of(TRANSFORMER):
        assert codec is not None
        vocab = CodecTables.of(codec).vocab_size
        architecture = read_architecture(Weights(checkpoint), checkpoint.metadata, vocab)
        over = [w.checkpoint for w in fine_tunes if lora.misfit(w, architecture) is None]
        yield Transformer(architecture.part, checkpoint, codec, over[0] if over else None)


def codecs(inputs: Inputs) -> Iterator[Subject]:
    """Encoder and decoder of codecs that have them."""
    for checkpoint in inputs.of(CODEC):
        if CodecTables.of(checkpoint).is_whole:
            yield Encoder(checkpoint)
            yield Decoder(checkpoint)


def beat_trackers(inputs: Inputs) -> Iterator[Subject]:
    """The parts of WaveBeat checkpoints."""
    yield from (BeatTracker(checkpoint) for checkpoint in inputs.of(WAVEBEAT.kind))


def _random(case: Case) -> np.random.Generator:
    return np.random.default_rng((case.seed, case.batch, case.length))


def _normal(random: np.random.Generator, *shape: int) -> Array:
    return random.standard_normal(shape).astype(np.float32)


def _sound(random: np.random.Generator, batch: int, samples: int) -> Array:
    """A tone with noise, float32 [batch, 1, samples]."""
    time = np.arange(samples)
    pitch = random.uniform(0.01, 0.2, (batch, 1, 1))
    tone = 0.4 * np.sin(pitch * time) + 0.1 * random.standard_normal((batch, 1, samples))
    return tone.astype(np.float32)


def _noise_level(random: np.random.Generator) -> float:
    """An r whose cosine is far from the middle between two float32 numbers, so that all round it alike.

    The embedding multiplies that cosine by 10⁴ before it takes sines: one unit in its last place would
    change them by 10⁻³.
    """
    while True:
        r = np.float32(random.uniform(0, 1))
        angle = np.float32(np.float32(r * np.float32(np.pi)) / np.float32(2))
        exact = np.cos(np.float64(angle))
        near = np.float32(exact)
        if abs(np.float64(near) - exact) < 0.3 * np.spacing(near):
            return float(r)
