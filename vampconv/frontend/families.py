"""The built-in families: VampNet with its fine-tunes, the LAC codec, WaveBeat."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.errors import UsageError, VampconvError
from vampconv.frontend import lora
from vampconv.frontend.architecture import MASK, VampNetArchitecture, read_architecture
from vampconv.frontend.codec_tables import PATTERN, TABLE, CodecTables
from vampconv.frontend.frontend import Draft, Frontend, Given, Share
from vampconv.frontend.lac import build_decoder, build_encoder
from vampconv.frontend.lac_architecture import read_lac
from vampconv.frontend.vampnet import SENSITIVE, build_vampnet
from vampconv.frontend.wavebeat import build_wavebeat, read_wavebeat
from vampconv.frontend.weights import Weights

IDLE_CODEC = "lends its tables to the transformers only"
TRANSFORMER, FINE_TUNE, CODEC = "VampNet transformer", "LoRA fine-tune", "LAC codec"


def _is_fine_tune(names: Collection[str]) -> bool:
    return bool(names) and all(n.endswith((".lora_A", ".lora_B")) for n in names)


def _is_transformer(names: Collection[str]) -> bool:
    found = MASK in names or any(n.startswith("transformer.layers.") for n in names)
    return found and not _is_fine_tune(names)


def _join_transformers(given: Given) -> Iterator[Share]:
    """The transformers, each over its codec's tables and under its fine-tune."""
    models = given.of(TRANSFORMER)
    if not models:
        lora.match(given.of(FINE_TUNE), {})
        return
    codec = CodecTables(given.lender(CODEC, lambda found: _fits_all(models, CodecTables(found))))
    architectures = {w: read_architecture(w, w.checkpoint.metadata, codec.vocab_size) for w in models}
    by_part = _one_of_each(architectures)
    over = lora.match(given.of(FINE_TUNE), {part: architectures[w] for part, w in by_part.items()})
    for part, weights in by_part.items():
        architecture, fine_tune = architectures[weights], over.get(part)
        tables = codec.take(architecture, weights.checkpoint.path.name)
        build = partial(build_vampnet, weights, architecture, tables, fine_tune)
        draft = Draft(part, architecture.as_json(), build, SENSITIVE)
        yield Share(weights, [draft], fine_tune=fine_tune)


def _fits_all(models: Sequence[Weights], tables: CodecTables) -> bool:
    try:
        for weights in models:
            architecture = read_architecture(weights, weights.checkpoint.metadata, tables.vocab_size)
            tables.take(architecture, weights.checkpoint.path.name)
    except VampconvError:
        return False
    return True


def _one_of_each(architectures: Mapping[Weights, VampNetArchitecture]) -> dict[str, Weights]:
    chosen: dict[str, Weights] = {}
    for weights, architecture in architectures.items():
        other = chosen.setdefault(architecture.part, weights)
        if other is not weights:
            both = f"{other.checkpoint.path} and {weights.checkpoint.path}"
            raise UsageError(
                f"two {architecture.part} models were given: {both}", "convert them in two calls"
            )
    return {part: chosen[part] for part in VAMPNET.parts if part in chosen}


def _read_transformer(weights: Weights) -> list[Draft]:
    """The model over placeholders of the right size for its codec's tables."""
    architecture = read_architecture(weights, weights.checkpoint.metadata, None)
    build = partial(build_vampnet, weights, architecture, _placeholders(architecture))
    return [Draft(architecture.part, {"kind": architecture.part, **architecture.as_json()}, build)]


def _placeholders(architecture: VampNetArchitecture) -> list[ir.Value]:
    shape = ir.Shape((architecture.vocab_size, architecture.latent_dim))

    def zeros() -> ir.TensorProtocol:
        return ir.tensor(np.zeros(shape.numpy(), np.float32))

    kind = ir.TensorType(ir.DataType.FLOAT)
    tables = []
    for i in range(architecture.n_codebooks):
        tensor = ir.LazyTensor(zeros, ir.DataType.FLOAT, shape, name=TABLE.format(i))
        tables.append(ir.Value(name=TABLE.format(i), shape=shape, type=kind, const_value=tensor))
    return tables


def _join_fine_tunes(given: Given) -> Iterator[Share]:
    yield from (Share(weights) for weights in given.of(FINE_TUNE) if given.of(TRANSFORMER))


def _join_codec(given: Given) -> Iterator[Share]:
    """Encoder and decoder of a codec that was given to be converted; else it only lends its tables."""
    converted = given.of(CODEC)
    if not (converted or given.of(TRANSFORMER)):
        return
    codec = CodecTables(given.lender(CODEC, lambda _found: True))
    drafts = _read_codec(codec.weights) if codec.weights in converted else []
    if codec.weights in converted and not drafts:
        given.notes.append(f"{codec.name} holds tables only: no encoder or decoder is written")
    idle = "" if drafts else IDLE_CODEC
    yield Share(codec.weights, drafts, lends=not drafts, idle_reason=idle, facts=codec.facts())


def _read_codec(weights: Weights) -> list[Draft]:
    if not CodecTables(weights).is_whole:
        return []
    architecture = read_lac(weights, weights.checkpoint.metadata)
    facts = architecture.as_json()
    return [
        Draft("encoder", facts, partial(build_encoder, weights, architecture)),
        Draft("decoder", facts, partial(build_decoder, weights, architecture)),
    ]


def _describe_codec(weights: Weights) -> dict[str, Any]:
    tables = CodecTables(weights)
    return {"codebooks": tables.count, "vocab_size": tables.vocab_size, **tables.facts()}


def _read_beat_tracker(weights: Weights) -> list[Draft]:
    architecture = read_wavebeat(weights, weights.checkpoint.metadata)
    return [Draft("wavebeat", architecture.as_json(), partial(build_wavebeat, weights, architecture))]


VAMPNET = Frontend(TRANSFORMER, ("coarse", "c2f"), _is_transformer, _read_transformer, _join_transformers)
LORA = Frontend(
    FINE_TUNE,
    (),
    _is_fine_tune,
    lambda _weights: (),
    _join_fine_tunes,
    option="--lora",
    fate=lambda _name: "used over a model",
)
LAC = Frontend(
    CODEC,
    ("encoder", "decoder"),
    lambda names: TABLE.format(0) in names,
    _read_codec,
    _join_codec,
    describe=_describe_codec,
    fate=lambda name: "shared" if PATTERN.fullmatch(name) else "unknown",
)
WAVEBEAT = Frontend(
    "WaveBeat beat tracker",
    ("wavebeat",),
    lambda names: {"blocks.0.conv1.weight", "output.weight"} <= set(names),
    _read_beat_tracker,
)
FAMILIES = (VAMPNET, LORA, LAC, WAVEBEAT)
"""In the order in which a ledger lists them."""
