"""What is in a checkpoint, and what a conversion would make of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir

from vampconv.checkpoint import Checkpoint, open_checkpoint
from vampconv.errors import UnsupportedModelError, VampconvError
from vampconv.frontend.frontend import Frontend
from vampconv.frontend.kinds import kind_of
from vampconv.frontend.weights import Weights, WeightTensor, plain_name
from vampconv.inspect.statistics import Statistics
from vampconv.opsets import OLDEST
from vampconv.passes.expression import leaves
from vampconv.passes.fold import expression_of
from vampconv.passes.pipeline import compile_graph
from vampconv.plugins import Plugins, load_plugins
from vampconv.rewrite.target import PORTABLE


def inspect_checkpoint(path: Path, plugins: Plugins | None = None) -> dict[str, Any]:
    """Kind, architecture, tensors with statistics and fate, and the graph that they make.

    For a transformer the graph is compiled over placeholders for its codec's tables; where that fails,
    ``problem`` says why.

    Raises
    ------
    VampconvError
        If the file cannot be read.

    """
    plugins = plugins or load_plugins()
    with ExitStack() as stack:
        checkpoint = stack.enter_context(open_checkpoint(path))
        found = _kind(checkpoint, plugins)
        facts: dict[str, Any] = {}
        fates: dict[str, str] = dict.fromkeys(checkpoint.tensors, "unknown")
        if found is not None:
            facts = _model(checkpoint, found, plugins)
            fates = facts.pop("fates", None) or {n: found.fate(plain_name(n)) for n in checkpoint.tensors}
        return {
            "file": checkpoint.path.name,
            "kind": found.kind if found else "of no known model",
            "format": checkpoint.format,
            "bytes": checkpoint.size,
            "sha256": checkpoint.sha256(),
            "warnings": list(checkpoint.warnings),
            "parameters": sum(int(np.prod(t.shape)) for t in checkpoint.tensors.values()),
            **facts,
            "tensors": [_tensor(t, fates.get(t.name, "unknown")) for t in checkpoint.tensors.values()],
        }


def _kind(checkpoint: Checkpoint, plugins: Plugins) -> Frontend | None:
    try:
        return kind_of(checkpoint, plugins.frontends)
    except UnsupportedModelError:
        return None


def _tensor(tensor: Any, fate: str) -> dict[str, Any]:
    shape, dtype = list(tensor.shape), str(tensor.dtype)
    statistics = Statistics.of(tensor.read()).as_json()
    return {"name": tensor.name, "shape": shape, "dtype": dtype, "fate": fate, "statistics": statistics}


def _model(checkpoint: Checkpoint, frontend: Frontend, plugins: Plugins) -> dict[str, Any]:
    """Architecture, graph and fates of a model; where it cannot be converted, the problem."""
    weights = Weights(checkpoint)
    facts: dict[str, Any] = {}
    try:
        drafts = frontend.read(weights)
        if not drafts:
            return dict(frontend.describe(weights))
        facts["architecture"] = dict(drafts[0].architecture)
        models = [draft.build(opset=OLDEST) for draft in drafts]
        weights.settle()
        options = plugins.options(OLDEST, PORTABLE.name)
        logs = [compile_graph(model, options) for model in models]
    except VampconvError as error:
        return facts | {"problem": str(error)} | dict(frontend.describe(weights))
    rules: Counter[str] = Counter()
    for log in logs:
        rules.update(log.counts())
    graph = {
        "nodes": sum(len(model.graph) for model in models),
        "initializers": sum(len(model.graph.initializers) for model in models),
        "rules": dict(rules),
    }
    return facts | {"graph": graph, "fates": _fates(weights, models), **frontend.describe(weights)}


def _fates(weights: Weights, models: Iterable[ir.Model]) -> dict[str, str]:
    fates = {weights.tensors[name].name: "dropped" for name in weights.ignored}
    for value in (v for model in models for v in model.graph.initializers.values()):
        for leaf in leaves(expression_of(value)):
            if isinstance(leaf.tensor, WeightTensor):
                fates[leaf.tensor.source.name] = "used"
    return fates
