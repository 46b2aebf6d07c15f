"""Faults of the transformer's norms and residual connections."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import TRANSFORMERS, fault

NORM = r"transformer\.(layers\.\d+\.norm_[13]|norm)"
LAYER = r"transformer\.layers\.\d+"
PLAIN, FUSED = "Add", "RMSNormalization"


def _give_eps(editor: Editor, eps: float) -> str:
    node = editor.node(f"{PLAIN} {FUSED}", NORM)
    if node.op_type == FUSED:
        editor.set(node, epsilon=eps)
    else:
        editor.give(node, editor.scalar_of(node), eps)
    return module_of(node)


@fault("norm", TRANSFORMERS, is_certain=True)
def epsilon_dropped(editor: Editor) -> str:
    return _give_eps(editor, 0.0)


@fault("norm", TRANSFORMERS, is_certain=True)
def epsilon_of_another_norm(editor: Editor) -> str:
    return _give_eps(editor, editor.pick([1e-5, 1e-8, 1e-12, 1e-3]))


def _input_and_scale(editor: Editor, module: str) -> tuple[NodeProto, NodeProto]:
    """The node that takes what is normalised, and the one that applies the weight."""
    fused = editor.nodes(FUSED, module)
    if fused:
        return fused[0], fused[0]
    return editor.first(editor.nodes("Div", module)), editor.nodes("Mul", module)[-1]


@fault("norm", TRANSFORMERS)
def weight_left_out(editor: Editor) -> str:
    module = module_of(editor.node(f"ReduceMean {FUSED}", NORM))
    scale = _input_and_scale(editor, module)[1]
    editor.give(scale, 1, np.ones_like(editor.array(scale.input[1])))
    return module


@fault("norm", TRANSFORMERS)
def layer_norm_instead(editor: Editor) -> str:
    module = module_of(editor.node(f"ReduceMean {FUSED}", NORM))
    first = editor.first(editor.nodes(within=module))
    x = first.input[0]
    if first.op_type == FUSED:
        everywhere = [(first, 0)]
    else:
        everywhere = [(n, i) for n in editor.nodes(within=module) for i, v in enumerate(n.input) if v == x]
    # ReduceMean over the last axis, written as a product, which is alike in all opsets
    width = editor.array(_input_and_scale(editor, module)[1].input[1]).shape[0]
    mean = editor.compute(first, "MatMul", x, editor.constant(np.full((width, width), 1 / width)))
    centred = editor.compute(first, "Sub", x, mean)
    for node, index in everywhere:
        node.input[index] = centred
    return module


@fault("norm", TRANSFORMERS)
def mean_over_time(editor: Editor) -> str:
    node = editor.node("ReduceMean", NORM)
    if len(node.input) > 1:
        editor.give(node, 1, [1])
    else:
        editor.set(node, axes=[1])
    return module_of(node)


@fault("norm", TRANSFORMERS)
def root_left_out(editor: Editor) -> str:
    node = editor.node("Sqrt", NORM)
    editor.bypass(node)
    return module_of(node)


@fault("norm", TRANSFORMERS)
def sum_instead_of_mean(editor: Editor) -> str:
    module = module_of(editor.node("ReduceMean", NORM))
    node = editor.first(editor.nodes("ReduceMean", module))
    width = float(editor.array(_input_and_scale(editor, module)[1].input[1]).size)
    editor.after(node.output[0], "Mul", editor.constant(width))
    return module


def _residual(editor: Editor) -> NodeProto:
    return editor.node("Add", LAYER)


@fault("residual", TRANSFORMERS)
def skip_dropped(editor: Editor) -> str:
    node = _residual(editor)
    editor.bypass(node, 1)
    return module_of(node)


@fault("residual", TRANSFORMERS)
def branch_dropped(editor: Editor) -> str:
    node = _residual(editor)
    editor.bypass(node, 0)
    return module_of(node)


@fault("residual", TRANSFORMERS)
def branch_halved(editor: Editor) -> str:
    node = _residual(editor)
    editor.before(node, 1, "Mul", editor.constant(0.5))
    return module_of(node)


@fault("residual", TRANSFORMERS)
def skip_from_an_earlier_place(editor: Editor) -> str:
    adds = editor.nodes("Add", LAYER)
    index = editor.pick(range(1, len(adds)))
    adds[index].input[0] = adds[index - 1].input[0]
    return module_of(adds[index])


@fault("residual", TRANSFORMERS)
def skip_after_the_norm(editor: Editor) -> str:
    node = _residual(editor)
    norms = [n for n in editor.takers(node.input[0]) if "norm_" in module_of(n)]
    if not norms:
        raise NotApplicableError
    module = module_of(norms[0])
    node.input[0] = editor.nodes(within=module)[-1].output[0]
    return module_of(node)


@fault("residual", TRANSFORMERS)
def branch_subtracted(editor: Editor) -> str:
    node = _residual(editor)
    editor.become(node, "Sub", *node.input)
    return module_of(node)
