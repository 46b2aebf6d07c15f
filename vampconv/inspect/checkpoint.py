"""What is in a checkpoint, and what a conversion would make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.checkpoint import Checkpoint, open_checkpoint
from vampconv.errors import UnsupportedModelError, VampconvError
from vampconv.frontend.architecture import VampNetArchitecture, read_architecture
from vampconv.frontend.codec_tables import PATTERN, TABLE, CodecTables
from vampconv.frontend.kinds import Kind, kind_of
from vampconv.frontend.lac import build_decoder, build_encoder
from vampconv.frontend.lac_architecture import read_lac
from vampconv.frontend.vampnet import build_vampnet
from vampconv.frontend.wavebeat import build_wavebeat, read_wavebeat
from vampconv.frontend.weights import Weights, WeightTensor, plain_name
from vampconv.inspect.statistics import Statistics
from vampconv.opsets import OLDEST
from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of
from vampconv.passes.pipeline import Options, compile_graph
from vampconv.plugins import builtin_rules, select_rules


def inspect_checkpoint(path: Path) -> dict[str, Any]:
    """Kind, architecture, tensors with statistics and fate, and the graph that they make.

    For a transformer the graph is compiled over placeholders for its codec's tables; where that fails,
    ``problem`` says why.

    Raises
    ------
    VampconvError
        If the file cannot be read.

    """
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(path))
        found = _kind(checkpoint)
        facts: dict[str, Any] = {}
        if found in MODELS and (found is not Kind.CODEC or CodecTables.of(checkpoint).is_whole):
            facts = _model(checkpoint, MODELS[found])
        if found is Kind.CODEC:
            tables = CodecTables.of(checkpoint)
            facts |= {"codebooks": tables.count, "vocab_size": tables.vocab_size, **tables.facts()}
        fates = facts.pop("fates", None) or _fates(checkpoint, found)
        return {
            "file": checkpoint.path.name,
            "kind": found.value if found else "of no known model",
            "format": checkpoint.format,
            "bytes": checkpoint.size,
            "sha256": checkpoint.sha256(),
            "parameters": sum(int(np.prod(t.shape)) for t in checkpoint.tensors.values()),
            **facts,
            "tensors": [_tensor(t, fates.get(t.name, "unknown")) for t in checkpoint.tensors.values()],
        }


def _kind(checkpoint: Checkpoint) -> Kind | None:
    try:
        return kind_of(checkpoint)
    except UnsupportedModelError:
        return None


def _tensor(tensor: Any, fate: str) -> dict[str, Any]:
    shape, dtype = list(tensor.shape), str(tensor.dtype)
    statistics = Statistics.of(tensor.read()).as_json()
    return {"name": tensor.name, "shape": shape, "dtype": dtype, "fate": fate, "statistics": statistics}


def _fates(checkpoint: Checkpoint, kind: Kind | None) -> dict[str, str]:
    """Fates of the tensors of anything but a transformer."""
    if kind is Kind.LORA:
        return dict.fromkeys(checkpoint.tensors, "used over a model")
    if kind is Kind.CODEC:
        is_table = {name: PATTERN.fullmatch(plain_name(name)) for name in checkpoint.tensors}
        return {name: "shared" if table else "unknown" for name, table in is_table.items()}
    return dict.fromkeys(checkpoint.tensors, "unknown")


def _model(checkpoint: Checkpoint, read: Read) -> dict[str, Any]:
    """Architecture, graph and fates of a model; where it cannot be converted, the problem."""
    weights = Weights(checkpoint)
    facts: dict[str, Any] = {}
    try:
        facts["architecture"], builds = read(weights)
        models = [build(opset=OLDEST) for build in builds]
        weights.settle()
        logs = [compile_graph(model, Options(rules=select_rules(builtin_rules()))) for model in models]
    except VampconvError as error:
        return facts | {"problem": str(error)}
    fates = {weights.tensors[name].name: "dropped" for name in weights.ignored}
    for value in (v for model in models for v in model.graph.initializers.values()):
        for leaf in leaves(expression_of(value)):
            if isinstance(leaf.tensor, WeightTensor):
                fates[leaf.tensor.source.name] = "used"
    rules: Counter[str] = Counter()
    for log in logs:
        rules.update(log.counts())
    graph = {
        "nodes": sum(len(model.graph) for model in models),
        "initializers": sum(len(model.graph.initializers) for model in models),
        "rules": dict(rules),
    }
    return facts | {"graph": graph, "fates": fates}


def _transformer(weights: Weights) -> Drafts:
    architecture = read_architecture(weights, weights.checkpoint.metadata, None)
    build = partial(build_vampnet, weights, architecture, _placeholders(architecture))
    return {"kind": architecture.part, **architecture.as_json()}, [build]


def _codec(weights: Weights) -> Drafts:
    architecture = read_lac(weights, weights.checkpoint.metadata)
    builds = [partial(build_encoder, weights, architecture), partial(build_decoder, weights, architecture)]
    return architecture.as_json(), builds


def _beat_tracker(weights: Weights) -> Drafts:
    architecture = read_wavebeat(weights, weights.checkpoint.metadata)
    return architecture.as_json(), [partial(build_wavebeat, weights, architecture)]


Drafts = tuple[dict[str, Any], Sequence[Callable[..., ir.Model]]]
Read = Callable[[Weights], Drafts]
MODELS: dict[Kind | None, Read] = {
    Kind.VAMPNET: _transformer,
    Kind.CODEC: _codec,
    Kind.WAVEBEAT: _beat_tracker,
}


def _placeholders(architecture: VampNetArchitecture) -> list[ir.Value]:
    """Tables of the right size, without the codec."""
    shape = ir.Shape((architecture.vocab_size, architecture.latent_dim))

    def zeros() -> ir.TensorProtocol:
        return ir.tensor(np.zeros(shape.numpy(), np.float32))

    kind = ir.TensorType(ir.DataType.FLOAT)
    tables = []
    for i in range(architecture.n_codebooks):
        tensor = ir.LazyTensor(zeros, ir.DataType.FLOAT, shape, name=TABLE.format(i))
        tables.append(ir.Value(name=TABLE.format(i), shape=shape, type=kind, const_value=tensor))
    return tables
