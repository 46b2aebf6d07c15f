"""Faults of the beat tracker: batch norms that were folded, slopes, the sigmoid, the two activations."""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from vampconv.bench.mutations.editor import Array, Editor, module_of
from vampconv.bench.mutations.family import BEATS, fault

NORM = r"blocks\.\d+\.(norm1|res_norm)"
ACT = r"blocks\.\d+\.act1"
EPS = 1e-5


def _normed(editor: Editor) -> tuple[NodeProto, dict[str, Array]]:
    """A convolution with a batch norm inside, and the norm's statistics."""
    node = editor.node("Conv", NORM)
    names = ("weight", "bias", "running_mean", "running_var")
    return node, {n: editor.state[f"{module_of(node)}.{n}"].astype(np.float64) for n in names}


def _scale(editor: Editor, node: NodeProto, factor: Array) -> None:
    """Multiply what the convolution gives, before the bias, by a factor per channel."""
    weight = editor.array(node.input[1])
    editor.put(node.input[1], (weight * factor.reshape(-1, *[1] * (weight.ndim - 1))).astype(np.float32))


def _bias(editor: Editor, node: NodeProto, new: Array) -> None:
    editor.put(node.input[2], new.astype(np.float32))


@fault("beat tracker", BEATS)
def batch_norm_without_its_mean(editor: Editor) -> str:
    node, norm = _normed(editor)
    gain = norm["weight"] / np.sqrt(norm["running_var"] + EPS)
    _bias(editor, node, editor.array(node.input[2]) + norm["running_mean"] * gain)
    return module_of(node)


@fault("beat tracker", BEATS)
def batch_norm_without_its_shift(editor: Editor) -> str:
    node, norm = _normed(editor)
    _bias(editor, node, editor.array(node.input[2]) - norm["bias"])
    return module_of(node)


def _regain(editor: Editor, wrong: Array) -> str:
    """Let the norm's gain be a wrong one, in weight and bias alike."""
    node, norm = _normed(editor)
    ratio = wrong / (norm["weight"] / np.sqrt(norm["running_var"] + EPS))
    _scale(editor, node, ratio)
    _bias(editor, node, (editor.array(node.input[2]) - norm["bias"]) * ratio + norm["bias"])
    return module_of(node)


@fault("beat tracker", BEATS)
def variance_not_rooted(editor: Editor) -> str:
    state = editor.random.bit_generator.state
    _, norm = _normed(editor)
    editor.random.bit_generator.state = state
    return _regain(editor, norm["weight"] / (norm["running_var"] + EPS))


@fault("beat tracker", BEATS)
def variance_left_out(editor: Editor) -> str:
    state = editor.random.bit_generator.state
    _, norm = _normed(editor)
    editor.random.bit_generator.state = state
    return _regain(editor, norm["weight"])


@fault("beat tracker", BEATS, is_certain=True)
def epsilon_of_another_norm(editor: Editor) -> str:
    state = editor.random.bit_generator.state
    _, norm = _normed(editor)
    editor.random.bit_generator.state = state
    return _regain(editor, norm["weight"] / np.sqrt(norm["running_var"] + 1e-3))


@fault("beat tracker", BEATS)
def slopes_of_other_channels(editor: Editor) -> str:
    node = editor.node("PRelu", ACT)
    editor.put(node.input[1], np.roll(editor.array(node.input[1]), 1, axis=0))
    return module_of(node)


@fault("beat tracker", BEATS)
def slope_of_one_channel_for_all(editor: Editor) -> str:
    node = editor.node("PRelu", ACT)
    slopes = editor.array(node.input[1])
    editor.put(node.input[1], np.full_like(slopes, slopes.reshape(-1)[0]))
    return module_of(node)


@fault("beat tracker", BEATS)
def relu_for_prelu(editor: Editor) -> str:
    node = editor.node("PRelu", ACT)
    editor.become(node, "Relu", node.input[0])
    return module_of(node)


@fault("beat tracker", BEATS)
def activation_after_the_sum(editor: Editor) -> str:
    """The residual is added before the activation."""
    total = editor.node("Add", r"blocks\.\d+")
    act = editor.maker(total.input[0])
    total.input[0] = act.input[0]
    editor.after(total.output[0], "PRelu", act.input[1])
    return module_of(total)


@fault("beat tracker", BEATS)
def residual_dropped(editor: Editor) -> str:
    node = editor.node("Add", r"blocks\.\d+")
    editor.bypass(node, editor.pick([0, 1]))
    return module_of(node)


@fault("beat tracker", BEATS)
def sigmoid_missing(editor: Editor) -> str:
    node = editor.node("Sigmoid")
    editor.bypass(node)
    return module_of(node)


@fault("beat tracker", BEATS)
def softmax_for_sigmoid(editor: Editor) -> str:
    node = editor.node("Sigmoid")
    editor.become(node, "Softmax", node.input[0], axis=1)
    return module_of(node)


@fault("beat tracker", BEATS)
def beats_and_downbeats_exchanged(editor: Editor) -> str:
    node = editor.node("Conv", "output")
    for index in (1, 2):
        editor.put(node.input[index], editor.array(node.input[index])[::-1])
    return "output"


@fault("beat tracker", BEATS)
def hard_sigmoid(editor: Editor) -> str:
    node = editor.node("Sigmoid")
    editor.become(node, "HardSigmoid", node.input[0])
    return module_of(node)
