"""From open checkpoints to compiled graphs: everything of a conversion but the writing."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir

from vampconv.checkpoint import Checkpoint
from vampconv.convert.inputs import Inputs, find_codec
from vampconv.emit.ledger import Account, Ledger
from vampconv.emit.manifest import PARTS
from vampconv.errors import UsageError, VampconvError
from vampconv.frontend import lora
from vampconv.frontend.architecture import VampNetArchitecture, read_architecture
from vampconv.frontend.codec_tables import CodecTables
from vampconv.frontend.kinds import Kind
from vampconv.frontend.vampnet import build_vampnet
from vampconv.frontend.weights import Weights
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.rewrite.engine import Log

IDLE_CODEC = "lends its tables to the transformers only"


@dataclass(frozen=True)
class Part:
    """One compiled model of the bundle."""

    name: str
    architecture: VampNetArchitecture
    model: ir.Model
    log: Log
    weights: list[dict[str, Any]]

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


def make_plan(inputs: Inputs, options: Options, stack: ExitStack) -> Plan:
    """Compile every transformer among the inputs.

    Raises
    ------
    VampconvError
        If a checkpoint, codec or fine-tune does not fit, or a tensor is not accounted for.

    """
    models = [Weights(checkpoint) for checkpoint in inputs.transformers]
    codec = CodecTables.of(find_codec(inputs, lambda tables: _fits_all(models, tables), stack))
    architectures = {w: read_architecture(w, w.checkpoint.metadata, codec.vocab_size) for w in models}
    by_part = _one_of_each(architectures)
    fine_tunes = lora.match(
        [Weights(c) for c in inputs.fine_tunes], {part: architectures[w] for part, w in by_part.items()}
    )
    ledger = Ledger(_accounts(by_part, fine_tunes, codec))
    parts = []
    for part, weights in by_part.items():
        architecture = architectures[weights]
        tables = codec.take(architecture, weights.checkpoint.path.name)
        model = build_vampnet(weights, architecture, tables, fine_tunes.get(part), opset=options.opset)
        log = compile_graph(model, options)
        rows = ledger.post(f"{part}.onnx", model, log.firings)
        parts.append(Part(part, architecture, model, log, rows))
    ledger.settle()
    return Plan(parts, ledger, codec.facts(), tuple(inputs.notes))


def _accounts(
    by_part: Mapping[str, Weights], fine_tunes: Mapping[str, Weights], codec: CodecTables
) -> list[Account]:
    every = [*by_part.values(), *fine_tunes.values(), codec.weights]
    label = dict(zip(every, unique_labels([w.checkpoint.path for w in every]), strict=True))
    accounts = []
    for part, weights in by_part.items():
        over = label[fine_tunes[part]] if part in fine_tunes else ""
        accounts.append(Account(weights, label[weights], Kind.VAMPNET, overridden_by=over))
    accounts += [Account(w, label[w], Kind.LORA) for w in fine_tunes.values()]
    lender = codec.weights
    return [*accounts, Account(lender, label[lender], Kind.CODEC, lends=True, idle_reason=IDLE_CODEC)]


def unique_labels(paths: Sequence[Path]) -> list[str]:
    """File names of different files, each with as many of its folders as tell it from the others."""
    parts = [path.resolve().parts for path in paths]
    depth = 1
    while len({p[-depth:] for p in parts}) < len(set(parts)) and depth < max(map(len, parts)):
        depth += 1
    labels = ["/".join(p[-depth:]) for p in parts]
    return [os.fsencode(label).decode("utf-8", "backslashreplace") for label in labels]


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
