"""Faults of Snake, ``x + sin²(αx)/α``, whose scales may lie in the convolutions around it."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, NotApplicableError, module_of
from vampconv.bench.mutations.family import CODEC, fault


def _snake(editor: Editor) -> tuple[NodeProto, NodeProto, NodeProto]:
    """One Snake: its sine, the square, and the sum."""
    sine = editor.node("Sin")
    square = editor.first(n for n in editor.takers(sine.output[0]) if n.op_type == "Mul")
    value = square.output[0]
    while True:
        taker = editor.takers(value)[0]
        if taker.op_type == "Add":
            return sine, square, taker
        value = taker.output[0]


@fault("snake", CODEC)
def sine_not_squared(editor: Editor) -> str:
    _, square, _ = _snake(editor)
    editor.bypass(square)
    return module_of(square)


@fault("snake", CODEC)
def square_subtracted(editor: Editor) -> str:
    *_, total = _snake(editor)
    editor.become(total, "Sub", *total.input)
    return module_of(total)


@fault("snake", CODEC)
def cosine_for_sine(editor: Editor) -> str:
    sine, *_ = _snake(editor)
    editor.become(sine, "Cos", *sine.input)
    return module_of(sine)


@fault("snake", CODEC)
def square_left_out(editor: Editor) -> str:
    *_, total = _snake(editor)
    editor.bypass(total, 0)
    return module_of(total)


@fault("snake", CODEC)
def x_left_out(editor: Editor) -> str:
    *_, total = _snake(editor)
    editor.bypass(total, 1)
    return module_of(total)


@fault("snake", CODEC)
def snake_left_out(editor: Editor) -> str:
    """The convolution takes what the Snake takes."""
    sine, _, total = _snake(editor)
    editor.become(total, "Identity", sine.input[0])
    return module_of(total)


def _alpha(editor: Editor) -> tuple[NodeProto, int]:
    """A product with the alphas of a Snake that keeps them, and which input they are."""
    found = []
    for node in editor.nodes("Mul"):
        sizes = {i: editor.array(node.input[i]).shape for i in editor.constants(node)}
        if any(t.op_type == "Sin" for t in editor.takers(node.output[0])):
            found += [(node, i) for i, shape in sizes.items() if len(shape) == 3 and shape[1] > 1]
    return editor.pick(found)


def _change_alpha(editor: Editor, alpha: Array, node: NodeProto, index: int) -> str:
    editor.give(node, index, alpha)
    return module_of(node)


@fault("snake", CODEC)
def alphas_of_other_channels(editor: Editor) -> str:
    node, index = _alpha(editor)
    return _change_alpha(editor, np.roll(editor.array(node.input[index]), 1, axis=1), node, index)


@fault("snake", CODEC)
def alpha_1(editor: Editor) -> str:
    node, index = _alpha(editor)
    return _change_alpha(editor, np.ones_like(editor.array(node.input[index])), node, index)


@fault("snake", CODEC)
def logarithmic_alpha(editor: Editor) -> str:
    """As in codecs that keep the logarithm of alpha."""
    node, index = _alpha(editor)
    return _change_alpha(editor, np.exp(editor.array(node.input[index])), node, index)


@fault("snake", CODEC)
def alpha_of_one_channel_for_all(editor: Editor) -> str:
    node, index = _alpha(editor)
    alpha = editor.array(node.input[index])
    return _change_alpha(editor, np.full_like(alpha, alpha.reshape(-1)[0]), node, index)


def _folded(editor: Editor) -> tuple[str, NodeProto, Array]:
    """A convolution's weight into which 1/alpha was folded, the node, and those alphas."""
    found = []
    for name, node in editor.weights():
        alpha = _alpha_before(editor, node) if node.op_type == "Conv" and name == node.input[1] else None
        if alpha is not None and alpha.size > 1:
            found.append((name, node, alpha))
    return editor.pick(found)


def _alpha_before(editor: Editor, conv: NodeProto) -> Array | None:
    """Alphas of the Snake that the convolution takes, where they stand as a product before its sine."""
    maker = editor.maker(conv.input[0]) if not editor.is_constant(conv.input[0]) else conv
    maker = editor.maker(maker.input[0]) if maker.op_type == "Unsqueeze" else maker
    if maker.op_type != "Add" or editor.is_constant(maker.input[1]):
        return None
    try:
        scaled = editor.maker(maker.input[0])
    except NotApplicableError:
        return None
    if scaled.op_type != "Mul" or not editor.constants(scaled):
        return None
    return editor.array(scaled.input[editor.constants(scaled)[0]])


@fault("snake", CODEC)
def not_divided_by_alpha(editor: Editor) -> str:
    name, node, alpha = _folded(editor)
    weight = editor.array(name)
    editor.put(name, weight * alpha.reshape(1, -1, *[1] * (weight.ndim - 2)))
    return module_of(node)


@fault("snake", CODEC)
def divided_by_alpha_twice(editor: Editor) -> str:
    name, node, alpha = _folded(editor)
    weight = editor.array(name)
    editor.put(name, weight / alpha.reshape(1, -1, *[1] * (weight.ndim - 2)))
    return module_of(node)
