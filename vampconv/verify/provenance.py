"""Notes of a graph that cannot be true: they would lay a fault at the wrong door, or hide a value from comparison."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import onnx
from torch import nn

from vampconv.dialect import OPS
from vampconv.dialect.builder import FUSED, MODULE, VALUE
from vampconv.rewrite.trace import RULES

UNUSED = "unused"


def false_notes(model: onnx.ModelProto, reference: nn.Module) -> list[str]:
    """What cannot be true of where a graph's values come from, each in words.

    1. Every node stands for a module, or a method, that the reference has; the model itself is the empty path.
    2. A value that is said to be what a module puts out is of that module, or of one around it.
    3. What a value is said to be is of a module that the reference has.
    4. What is said to be inside something is inside an op of the dialect or a rule that made the node, or unused.

    Parameters
    ----------
    model
        The graph, with the notes of its nodes.
    reference
        The model that it stands for.

    """
    paths = {path for path, _ in reference.named_modules()}
    return [problem for node in model.graph.node for problem in _of_node(node, reference, paths)]


def module_told(model: onnx.ModelProto, text: str) -> str:
    """The module of the node or value that a runtime's message names, by the longest of their names; or nothing."""
    modules: dict[str, str] = {}
    for node in model.graph.node:
        module = next((p.value for p in node.metadata_props if p.key == MODULE), "")
        for name in (node.name, *node.output, *node.input):
            modules.setdefault(name, module)
    told = [name for name in modules if {".", "/"} & set(name) and name in text]
    return modules[max(told, key=len)] if told else ""


def _of_node(node: onnx.NodeProto, reference: nn.Module, paths: set[str]) -> Iterator[str]:
    notes = {p.key: p.value for p in node.metadata_props}
    name, module = next((n for n in node.output if n), node.name), notes.get(MODULE)
    if module is None:
        yield f"{name} is not said to be of any module"
    elif module not in paths and not (module.isidentifier() and hasattr(reference, module)):
        yield f"{name} is said to be of {module}, which the reference has not"
    else:
        named = [word.partition("@")[0].partition("#")[0] for word in notes.get(VALUE, "").split()]
        outputs = [path for path in named if not path.startswith((">", "."))]
        lost = [path for path in named if path != "." and path.removeprefix(">") not in paths]
        if lost:
            yield f"{name} is said to be {lost[0]}, which the reference has not"
        if outputs and not any(path == module or path.startswith(f"{module}.") for path in outputs):
            yield f"{name} is said to be {outputs[0]}, and to be of {module or 'the model itself'}"
    yield from _hidden(name, notes)


def _hidden(name: str, notes: Mapping[str, str]) -> Iterator[str]:
    """Claims that a value of the reference is inside something that is not there."""
    known = {UNUSED, *OPS, *notes.get(RULES, "").split(",")}
    for word in notes.get(FUSED, "").split():
        path, _, why = word.partition("=")
        if why not in known:
            yield f"{path} is said to be inside {why or 'nothing'} at {name}, which no rule made"
