"""From open checkpoints to compiled graphs: everything of a conversion but the writing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import onnx_ir as ir

from vampconv.checkpoint import Checkpoint
from vampconv.convert.inputs import Inputs, find_codec
from vampconv.convert.labels import unique_labels
from vampconv.emit.ledger import Account, Ledger
from vampconv.emit.manifest import PARTS
from vampconv.errors import UnsupportedModelError, UsageError, VampconvError
from vampconv.frontend import lora
from vampconv.frontend.architecture import VampNetArchitecture, read_architecture
from vampconv.frontend.codec_tables import CodecTables
from vampconv.frontend.kinds import Kind
from vampconv.frontend.lac import build_decoder, build_encoder
from vampconv.frontend.lac_architecture import read_lac
from vampconv.frontend.vampnet import build_vampnet
from vampconv.frontend.wavebeat import build_wavebeat, read_wavebeat
from vampconv.frontend.weights import Weights
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.rewrite.engine import Log
from vampconv.validation import RuleRecord, Validator

IDLE_CODEC = "lends its tables to the transformers only"


@dataclass(frozen=True)
class Part:
    """One compiled model of the bundle."""

    name: str
    architecture: Mapping[str, Any]
    model: ir.Model
    log: Log
    weights: list[dict[str, Any]]
    audit: Sequence[RuleRecord] = ()
    """What translation validation found out about each rule, where it was asked for."""

    @property
    def bytes(self) -> int:
        """Size of its weights."""
        return sum(v.const_value.nbytes for v in self.model.graph.initializers.values() if v.const_value)


@dataclass(frozen=True)
class Plan:
    """Compiled models with the ledger of all that they were made from; nothing is written yet."""

    parts: Sequence[Part]
    ledger: Ledger
    facts: dict[str, Any]
    notes: Sequence[str]

    def checkpoints(self) -> list[Checkpoint]:
        return [a.weights.checkpoint for a in self.ledger.accounts]


@dataclass(frozen=True)
class Draft:
    """A model that can be built: the name of its part, its architecture, and the graph for an opset."""

    part: str
    architecture: Mapping[str, Any]
    build: Callable[..., ir.Model]


def make_plan(inputs: Inputs, options: Options, stack: ExitStack, *, audit: bool = False) -> Plan:
    """Compile every model among the inputs; with `audit`, hold every firing of a rule against its claim.

    Raises
    ------
    VampconvError
        If a checkpoint, codec or fine-tune does not fit, a tensor is not accounted for, or a firing
        breaks its rule's claim.

    """
    drafts, accounts, codec = make_drafts(inputs, stack)
    _label(accounts)
    models = [draft.build(opset=options.opset) for draft in drafts]
    for account in accounts:
        if not account.lends:
            account.weights.settle()
    ledger = Ledger(accounts)
    parts = []
    for draft, model in zip(drafts, models, strict=True):
        validator = Validator(model, draft.part) if audit else None
        log = compile_graph(model, options, validator)
        rows = ledger.post(f"{draft.part}.onnx", model, log.firings)
        records = tuple(validator.records.values()) if validator else ()
        parts.append(Part(draft.part, draft.architecture, model, log, rows, records))
    ledger.settle()
    return Plan(parts, ledger, codec.facts() if codec else {}, tuple(inputs.notes))


def make_drafts(inputs: Inputs, stack: ExitStack) -> tuple[list[Draft], list[Account], CodecTables | None]:
    """What can be built of the inputs, the accounts of their checkpoints, and the codec.

    Raises
    ------
    VampconvError
        If a checkpoint, codec or fine-tune does not fit.

    """
    transformers = [Weights(checkpoint) for checkpoint in inputs.transformers]
    codec = _codec(inputs, transformers, stack)
    drafts, accounts = _transformers(transformers, [Weights(c) for c in inputs.fine_tunes], codec)
    for part_drafts, account in (*_whole_codec(inputs, codec), *_beat_trackers(inputs)):
        drafts += part_drafts
        accounts.append(account)
    if not drafts:
        raise UnsupportedModelError(
            "there is no model to convert, only a codec's tables", "give a transformer"
        )
    return drafts, accounts, codec


def _codec(inputs: Inputs, transformers: Sequence[Weights], stack: ExitStack) -> CodecTables | None:
    """The codec: the one that was given, or, where a transformer needs one, the one beside it."""
    if not (transformers or inputs.codecs):
        return None
    return CodecTables.of(find_codec(inputs, lambda tables: _fits_all(transformers, tables), stack))


def _transformers(
    models: Sequence[Weights], fine_tunes: Sequence[Weights], codec: CodecTables | None
) -> tuple[list[Draft], list[Account]]:
    """Drafts and accounts of the transformers and of the fine-tunes over them."""
    vocab = codec.vocab_size if codec else None
    architectures = {w: read_architecture(w, w.checkpoint.metadata, vocab) for w in models}
    by_part = _one_of_each(architectures)
    over = lora.match(fine_tunes, {part: architectures[w] for part, w in by_part.items()})
    drafts, accounts = [], []
    for part, weights in by_part.items():
        architecture, fine_tune = architectures[weights], over.get(part)
        assert codec is not None
        tables = codec.take(architecture, weights.checkpoint.path.name)
        build = partial(build_vampnet, weights, architecture, tables, fine_tune)
        drafts.append(Draft(part, architecture.as_json(), build))
        accounts.append(Account(weights, Kind.VAMPNET, fine_tune=fine_tune))
    return drafts, accounts + [Account(w, Kind.LORA) for w in over.values()]


def _whole_codec(inputs: Inputs, codec: CodecTables | None) -> Iterator[tuple[list[Draft], Account]]:
    """Encoder and decoder of a codec that was given to be converted; else it only lends its tables."""
    if codec is None:
        return
    weights = codec.weights
    given = any(c is weights.checkpoint for c in inputs.codecs)
    if not (given and codec.is_whole):
        if given:
            inputs.notes.append(f"{codec.name} holds tables only: no encoder or decoder is written")
        yield [], Account(weights, Kind.CODEC, lends=True, idle_reason=IDLE_CODEC)
        return
    architecture = read_lac(weights, weights.checkpoint.metadata)
    facts = architecture.as_json()
    drafts = [
        Draft("encoder", facts, partial(build_encoder, weights, architecture)),
        Draft("decoder", facts, partial(build_decoder, weights, architecture)),
    ]
    yield drafts, Account(weights, Kind.CODEC)


def _beat_trackers(inputs: Inputs) -> Iterator[tuple[list[Draft], Account]]:
    if len(inputs.beat_trackers) > 1:
        both = " and ".join(str(c.path) for c in inputs.beat_trackers)
        raise UsageError(f"two beat trackers were given: {both}", "convert them in two calls")
    for checkpoint in inputs.beat_trackers:
        weights = Weights(checkpoint)
        architecture = read_wavebeat(weights, checkpoint.metadata)
        build = partial(build_wavebeat, weights, architecture)
        yield [Draft("wavebeat", architecture.as_json(), build)], Account(weights, Kind.WAVEBEAT)


def _label(accounts: Sequence[Account]) -> None:
    labels = unique_labels([account.weights.checkpoint.path for account in accounts])
    for account, label in zip(accounts, labels, strict=True):
        account.label = label
    by_weights = {id(account.weights): account.label for account in accounts}
    for account in accounts:
        if account.fine_tune:
            account.overridden_by = by_weights[id(account.fine_tune)]


def _fits_all(models: Sequence[Weights], tables: CodecTables) -> bool:
    try:
        for weights in models:
            architecture = read_architecture(weights, weights.checkpoint.metadata, tables.vocab_size)
            tables.take(architecture, weights.checkpoint.path.name)
    except VampconvError:
        return False
    return True


def _one_of_each(architectures: dict[Weights, VampNetArchitecture]) -> dict[str, Weights]:
    chosen: dict[str, Weights] = {}
    for weights, architecture in architectures.items():
        other = chosen.setdefault(architecture.part, weights)
        if other is not weights:
            both = f"{other.checkpoint.path} and {weights.checkpoint.path}"
            raise UsageError(
                f"two {architecture.part} models were given: {both}", "convert them in two calls"
            )
    return {part: chosen[part] for part in PARTS if part in chosen}
